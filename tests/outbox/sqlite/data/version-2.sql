PRAGMA application_id = 1886550117;
PRAGMA user_version = 2;
BEGIN TRANSACTION;
CREATE TABLE attempt (
        outbox_id   INTEGER NOT NULL REFERENCES outbox (id) ON DELETE CASCADE,
        retries     INTEGER NOT NULL,  -- as they stood when it started: no two attempts of a message share them
        account     TEXT    NOT NULL,
        run_id      TEXT    NOT NULL,
        message_id  TEXT    NOT NULL,
        started_at  INTEGER NOT NULL,
        finished_at INTEGER NOT NULL,
        outcome     TEXT    NOT NULL CHECK (outcome IN ('sent', 'deferred', 'gave_up', 'died')),
        code        INTEGER,
        enhanced    TEXT,              -- RFC 3463
        response    TEXT,
        uncertain   INTEGER NOT NULL CHECK (uncertain IN (0, 1)),
        counts      INTEGER NOT NULL CHECK (counts IN (0, 1)),  -- whether the provider may have taken a message
        dialogue    TEXT, recipients INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (outbox_id, retries)
    ) STRICT, WITHOUT ROWID
    ;
INSERT INTO "attempt" VALUES(2,0,'work','1764000000-4321-0a1b2c3d','<outbox-2-0@prx-email.local>',1764000000,1764000000,'gave_up',NULL,NULL,'2.0.0 queued',0,1,'',1);
INSERT INTO "attempt" VALUES(3,0,'work','1764000000-4321-0a1b2c3d','<outbox-3-0@prx-email.local>',1764000000,1764000000,'deferred',NULL,NULL,'why',0,0,'',0);
CREATE TABLE content (id INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT;
INSERT INTO "content" VALUES(65536,X'46726F6D3A206F7073406578616D706C652E636F6D0D0A546F3A2061406578616D706C652E6F72670D0A5375626A6563743A206279206120647261696E0D0A0D0A54686973206973206279206120647261696E2E0D0A');
INSERT INTO "content" VALUES(131072,X'46726F6D3A206F7073406578616D706C652E636F6D0D0A546F3A2062406578616D706C652E6F72670D0A5375626A6563743A2062792068616E640D0A0D0A546869732069732062792068616E642E0D0A');
INSERT INTO "content" VALUES(196608,X'46726F6D3A206F7073406578616D706C652E636F6D0D0A546F3A2064406578616D706C652E6F72670D0A5375626A6563743A20616761696E0D0A0D0A5468697320697320616761696E2E0D0A');
INSERT INTO "content" VALUES(262144,X'46726F6D3A206F7073406578616D706C652E636F6D0D0A546F3A2065406578616D706C652E6F72670D0A5375626A6563743A2077616974696E670D0A0D0A546869732069732077616974696E672E0D0A');
CREATE TABLE idempotency (
        account     TEXT    NOT NULL,
        key         TEXT    NOT NULL,
        outbox_id   INTEGER NOT NULL,
        fingerprint TEXT    NOT NULL,
        PRIMARY KEY (account, key)
    ) STRICT, WITHOUT ROWID
    ;
CREATE TABLE known (
        id            INTEGER PRIMARY KEY,
        account       TEXT    NOT NULL,
        learned_at    INTEGER NOT NULL,
        message_id    TEXT    NOT NULL,
        in_reply_to   TEXT    NOT NULL,
        reference_ids TEXT    NOT NULL,
        sender        TEXT    NOT NULL,
        reply_to      TEXT    NOT NULL,
        recipients    TEXT    NOT NULL,
        copies        TEXT    NOT NULL,
        subject       TEXT    NOT NULL,
        date          TEXT    NOT NULL,
        text          TEXT    NOT NULL
    ) STRICT
    ;
CREATE TABLE ledger (
        id              INTEGER PRIMARY KEY CHECK (id = 1),
        identity        TEXT    NOT NULL,            -- tells this outbox from any other
        generation      INTEGER NOT NULL DEFAULT 0,  -- grows with every claim: tells a restored backup
        drained_seconds INTEGER NOT NULL DEFAULT 0,  -- how long drains have been at work in all
        recorded_at     INTEGER                      -- the latest moment at which a drain looked at the clock
    ) STRICT
    ;
INSERT INTO "ledger" VALUES(1,'4f8b8f11de636c8898f11b40d3609d96',5,0,1764000000);
CREATE TABLE outbox (
        id              INTEGER PRIMARY KEY AUTOINCREMENT,  -- never reused: Message-IDs are made of it
        account         TEXT    NOT NULL,
        status          TEXT    NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'sending', 'sent', 'failed')),
        retries         INTEGER NOT NULL DEFAULT 0 CHECK (retries >= 0),
        next_attempt_at INTEGER NOT NULL,
        first_due_at    INTEGER NOT NULL,
        expires_at      INTEGER,
        created_at      INTEGER NOT NULL,
        sent_at         INTEGER CHECK ((sent_at IS NOT NULL) = (status = 'sent')),
        run_id          TEXT    CHECK ((run_id IS NOT NULL) = (status = 'sending')),
        claimed_at      INTEGER CHECK ((claimed_at IS NOT NULL) = (status = 'sending')),
        held_at         INTEGER,
        gave_up         TEXT    CHECK (gave_up IS NULL OR status <> 'sent'),
        told_at         INTEGER,  -- when somebody was told that it was given up
        pruned_at       INTEGER,  -- when its content was dropped
        uncertain       INTEGER NOT NULL DEFAULT 0 CHECK (uncertain IN (0, 1)),
        message_id      TEXT,     -- of the latest attempt
        acceptance      TEXT,     -- the provider's words when it took the message
        last_error      TEXT,
        error_code      TEXT,
        sender          TEXT    NOT NULL,
        subject         TEXT    NOT NULL,
        size_bytes      INTEGER NOT NULL,
        needs_smtputf8  INTEGER NOT NULL DEFAULT 0
    , envelope_digest TEXT, content_digest TEXT, drained_from INTEGER, claimed_by_hand INTEGER NOT NULL DEFAULT 0 CHECK (claimed_by_hand IN (0, 1))) STRICT
    ;
INSERT INTO "outbox" VALUES(1,'work','sending',0,1764000000,1764000000,NULL,1764000000,NULL,'1764000000-4321-0a1b2c3d',1764000000,NULL,NULL,NULL,NULL,0,'<outbox-1-0@prx-email.local>',NULL,NULL,NULL,'ops@example.com','by a drain',86,0,'4f828e8c1530271c4525cd20e6f80be081687b42bcc47c1454bbc4e6d6b050d9','ab23f795e9cfcdecbd5590f686c93fbead9474394587deea7335ddb151275ddc',0,0);
INSERT INTO "outbox" VALUES(2,'work','sending',1,1764000010,1764000000,NULL,1764000000,NULL,'1764000000-4321-0a1b2c3d',1764000020,NULL,'refused',NULL,NULL,0,'<outbox-2-1@prx-email.local>','2.0.0 queued','why','network','ops@example.com','by hand',80,0,'8a494c19445927422b90363b6c1587af13a3ad8c80d70a609027cc6bb5a98c36','d27af214d3257fd4fb39ab01647712e55a67530587043c552e2aa97fb2acafd1',0,1);
INSERT INTO "outbox" VALUES(3,'work','sending',1,1764000010,1764000000,NULL,1764000000,NULL,'1764000000-4321-0a1b2c3d',1764000020,NULL,NULL,NULL,NULL,0,'<outbox-3-1@prx-email.local>',NULL,'why','network','ops@example.com','again',76,0,'b8c06387e5a2fdc3e4ceed720a8dd7896610dba371e53dca1a943a3d9a2e01c2','a9c17afab7189472397340dd430ffe07d257715311ff139bcd8798aa9ff3e8f5',0,0);
INSERT INTO "outbox" VALUES(4,'work','pending',0,1764000000,1764000000,NULL,1764000000,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,'ops@example.com','waiting',80,0,'5b7b42029982e66c3eb658200318d57df69884b0cc36cb14f2099a9857eb537f','75d242f42469fe2f4b45957fec3b921260af0bf974ad0053b0d8eeb89d5e2fdd',NULL,0);
CREATE TABLE recipient (
        outbox_id INTEGER NOT NULL REFERENCES outbox (id) ON DELETE CASCADE,
        number    INTEGER NOT NULL,
        address   TEXT    NOT NULL,
        kind      TEXT    NOT NULL CHECK (kind IN ('to', 'cc', 'bcc')),
        status    TEXT    NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'accepted', 'refused')),
        code      INTEGER,
        response  TEXT, uncertain INTEGER NOT NULL DEFAULT 0
          CHECK (uncertain IN (0, 1) AND (uncertain = 0 OR status <> 'accepted')),
        PRIMARY KEY (outbox_id, number)
    ) STRICT, WITHOUT ROWID
    ;
INSERT INTO "recipient" VALUES(1,0,'a@example.org','to','pending',NULL,NULL,0);
INSERT INTO "recipient" VALUES(2,0,'b@example.org','to','accepted',250,'said so',0);
INSERT INTO "recipient" VALUES(2,1,'c@example.org','to','refused',450,'said so',0);
INSERT INTO "recipient" VALUES(3,0,'d@example.org','to','pending',450,'said so',0);
INSERT INTO "recipient" VALUES(4,0,'e@example.org','to','pending',NULL,NULL,0);
CREATE INDEX outbox_due ON outbox (account, next_attempt_at, id)
     WHERE status IN ('pending', 'failed') AND held_at IS NULL AND gave_up IS NULL
    ;
CREATE INDEX outbox_sending ON outbox (run_id) WHERE status = 'sending';
CREATE INDEX outbox_expiring ON outbox (expires_at)
     WHERE expires_at IS NOT NULL AND status IN ('pending', 'failed') AND held_at IS NULL AND gave_up IS NULL
    ;
CREATE INDEX outbox_untold ON outbox (id) WHERE gave_up IS NOT NULL AND told_at IS NULL;
CREATE INDEX outbox_unsent ON outbox (id) WHERE status <> 'sent';
CREATE INDEX attempt_counting ON attempt (account, started_at) WHERE counts;
CREATE UNIQUE INDEX known_message ON known (account, message_id);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('outbox',4);
COMMIT;
