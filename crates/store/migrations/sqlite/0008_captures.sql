-- Orders to keep the bodies of a key's requests for a while, and what was kept of them.

create table captures (
    id text primary key,
    created_at bigint not null,
    -- The id of a key, or the name of a key of a file.
    key_id text not null,
    key_name text not null,
    -- Whose the key was when it was ordered. Requests of whoever has the key later are not captured.
    user_id text,
    team_id text,
    from_at bigint not null,
    until_at bigint not null,
    ordered_by text not null,
    -- Why, in the words of whoever ordered it.
    reason text not null,
    -- The most that is kept of one body, and of how many requests.
    body_bytes bigint not null,
    calls bigint not null,
    -- Requests whose bodies were kept, and those that were lost on the way.
    taken bigint not null,
    lost bigint not null
);
create index captures_by_age on captures (created_at, id);
create index captures_of_team on captures (team_id, created_at, id);
create index captures_of_key on captures (key_id, until_at);

create table captured_bodies (
    id text primary key,
    capture_id text not null,
    -- The same for all bodies of one request: request ids may come again.
    call_id text not null,
    request_id text not null,
    user_id text,
    team_id text,
    at bigint not null,
    direction text not null,
    -- How long the body was.
    bytes bigint not null,
    -- Is its end missing?
    cut bigint not null,
    -- How many places were made unreadable before it was kept.
    redacted bigint not null,
    sealed blob not null
);
create index captured_bodies_of_request on captured_bodies (request_id, at);
create index captured_bodies_of_capture on captured_bodies (capture_id);
create index captured_bodies_at on captured_bodies (at);

create trigger captures_made after insert on captures begin
    update change_counter set number = number + 1;
    insert into changes (number, noun, id) select number, 'capture', new.id from change_counter;
end;
create trigger captures_gone after delete on captures begin
    update change_counter set number = number + 1;
    insert into changes (number, noun, id) select number, 'capture', old.id from change_counter;
end;
-- Each request that is captured is counted; others need to know of the last one only.
create trigger captures_full after update of taken on captures when new.taken >= new.calls begin
    update change_counter set number = number + 1;
    insert into changes (number, noun, id) select number, 'capture', new.id from change_counter;
end;
