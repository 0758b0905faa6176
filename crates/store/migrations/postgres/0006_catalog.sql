-- What a configuration file may say of accounts at providers, for those who keep it in the database. Secrets are sealed: see
-- seal.rs. `settings` and `limits` are JSON objects in the words of the file.

-- The master key that everything is sealed with, and the key that other keys are derived from, sealed.
create table vault (
    id integer primary key,
    master_key_id text not null,
    root bytea not null,
    changed_at bigint not null
);

-- Counts every write to the tables below, in the same transaction.
create table catalog_version (
    id integer primary key,
    version bigint not null
);
insert into catalog_version (id, version) values (1, 0);

create table providers (
    id text primary key,
    name text not null unique,
    kind text not null,
    base_url text,
    settings text not null,
    revision bigint not null,
    created_at bigint not null,
    changed_at bigint not null
);

create table channels (
    id text primary key,
    name text not null unique,
    provider text,
    base_url text,
    enabled bigint not null,
    headers bytea,
    settings text not null,
    revision bigint not null,
    created_at bigint not null,
    changed_at bigint not null
);

create table models (
    id text primary key,
    channel_id text not null,
    name text not null,
    upstream text,
    settings text not null,
    unique (channel_id, name)
);

create table credentials (
    id text primary key,
    channel_id text not null,
    name text not null,
    sealed bytea not null,
    hint text not null,
    enabled bigint not null,
    limits text not null,
    revision bigint not null,
    created_at bigint not null,
    changed_at bigint not null,
    unique (channel_id, name)
);

create table model_groups (
    id text primary key,
    name text not null unique,
    enabled bigint not null,
    settings text not null,
    revision bigint not null,
    created_at bigint not null,
    changed_at bigint not null
);

create table settings (
    path text primary key,
    value text not null,
    revision bigint not null,
    changed_at bigint not null
);
