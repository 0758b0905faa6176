-- What requests did that was suspicious.

create table security_events (
    id text primary key,
    created_at bigint not null,
    kind text not null,
    -- Absent if nobody knows.
    address text,
    -- The name of the key, where there was one.
    key_name text,
    -- How often within the time that it was counted over.
    count bigint not null,
    -- For how many seconds the address was refused from then on.
    blocked_for bigint
);
create index security_events_by_time on security_events (created_at, id);
create index security_events_by_address on security_events (address, created_at, id);
create index security_events_by_key on security_events (key_name, created_at, id);
