"""The drop-in for sendmail(8): ``prx-sendmail``, ``prx-email sendmail``, and links to it of the classic names."""
