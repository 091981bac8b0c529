-- A browser can be told from another: by what it says it is, and when it was last here.

ALTER TABLE browsers ADD COLUMN agent TEXT NOT NULL DEFAULT '';     -- its system and its name, in two words
ALTER TABLE browsers ADD COLUMN seen_at INTEGER NOT NULL DEFAULT 0; -- to ten minutes; 0: never since
