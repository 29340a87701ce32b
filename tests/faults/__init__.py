"""The fault matrix: a server that misbehaves at every place of a dialogue in every manner, and what must come of it.

`places` says where and how, `rules` what must happen, `campaign` plays the rows, `document` tells them to people.
"""
