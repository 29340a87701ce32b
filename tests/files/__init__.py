"""Files that are private from their first instant, and those that are not obeyed because others could change them."""
