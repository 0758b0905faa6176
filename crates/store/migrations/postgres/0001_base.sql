-- Small things that are kept by name: secrets made here, versions of the catalog, the anchor of chains.
create table meta (
    name text primary key,
    value text not null,
    changed_at bigint not null
);

-- Every process that has served from this database.
create table nodes (
    id text primary key,
    started_at bigint not null,
    seen_at bigint not null
);
