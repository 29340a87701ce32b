"""What doctor, account test and init look at."""
