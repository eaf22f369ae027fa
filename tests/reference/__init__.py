"""The references: live libraries, and restatements of authors' code that is in no library."""
