-- Older records of the trail can be moved out; the chain begins behind the last of them.

CREATE TABLE archived (
    seq             INTEGER NOT NULL,
    hash            BLOB NOT NULL
) STRICT;
