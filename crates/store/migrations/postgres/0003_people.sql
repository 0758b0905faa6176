-- People, what they may, and what they did.

create table users (
    id text primary key,
    created_at bigint not null,
    changed_at bigint not null,
    version bigint not null,
    email text not null,
    -- The address in lower case: what a login is found by.
    login text not null unique,
    name text not null,
    role text not null,
    team text,
    plan text,
    -- An Argon2id string; absent if somebody comes by OIDC only.
    password text,
    enabled bigint not null,
    -- Counts what ends all sessions: a new password, another role or team, being disabled.
    generation bigint not null
);
create index users_by_time on users (created_at, id);
create index users_by_team on users (team, created_at, id);

create table teams (
    id text primary key,
    created_at bigint not null,
    changed_at bigint not null,
    version bigint not null,
    name text not null unique,
    plan text,
    enabled bigint not null
);
create index teams_by_time on teams (created_at, id);
create index teams_by_change on teams (changed_at);

-- Models and endpoints are JSON lists; empty means all. A limit that is absent is none.
create table plans (
    id text primary key,
    created_at bigint not null,
    changed_at bigint not null,
    version bigint not null,
    name text not null unique,
    models text not null,
    endpoints text not null,
    rpm bigint,
    tpm bigint,
    concurrency bigint,
    tokens_per_day bigint,
    price_permille bigint not null check (price_permille >= 0),
    billing text not null,
    enabled bigint not null
);
create index plans_by_time on plans (created_at, id);

-- Single-use secrets that let somebody in: as a new user, or (with user_id) to set another password.
create table invites (
    id text primary key,
    created_at bigint not null,
    expires_at bigint not null,
    secret_hash text not null unique,
    made_by text not null,
    user_id text,
    email text,
    role text not null,
    team text,
    plan text,
    used_at bigint,
    used_by text
);
create index invites_by_time on invites (created_at, id);
create index invites_by_team on invites (team, created_at, id);

create table sessions (
    id text primary key,
    user_id text not null,
    team text,
    created_at bigint not null,
    changed_at bigint not null,
    expires_at bigint not null,
    ended_at bigint,
    ended_why text,
    generation bigint not null,
    -- Of the half of a refresh token that stays, and of the half that changes with each use.
    family_hash text not null unique,
    refresh_hash text not null,
    agent text not null,
    address text not null
);
create index sessions_by_time on sessions (created_at, id);
create index sessions_by_user on sessions (user_id, created_at, id);
create index sessions_by_team on sessions (team, created_at, id);
create index sessions_by_change on sessions (changed_at);
create index users_by_change on users (changed_at);

-- Who somebody is at a provider of identities.
create table identities (
    issuer text not null,
    subject text not null,
    user_id text not null,
    created_at bigint not null,
    primary key (issuer, subject)
);
create index identities_by_user on identities (user_id);

-- What was done: each row's hash covers the row and the hash before it.
create table audit (
    number bigint primary key,
    at bigint not null,
    actor text not null,
    team text,
    action text not null,
    subject text not null,
    detail text not null,
    address text,
    request_id text,
    previous text not null,
    hash text not null
);
create index audit_by_team on audit (team, number);
create index audit_by_actor on audit (actor, number);
create index audit_by_subject on audit (subject, number);

-- Where the chain ends. Whoever appends holds this row, so that there is one order.
create table audit_head (
    one bigint primary key check (one = 1),
    number bigint not null,
    hash text not null
);
insert into audit_head (one, number, hash) values (1, 0, '');
