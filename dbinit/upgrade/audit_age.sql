-- Entries go by their age. What an earlier release noted of a deleted image was its path, which may name somebody.

UPDATE audit SET detail = 'null' WHERE action = 'delete image';

-- The last statement, and so the sign that all is done.
ALTER TABLE audit
    ADD KEY audit_at (at);
