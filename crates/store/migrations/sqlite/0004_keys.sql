-- Virtual keys, prices set through the API, and the log of changes that other processes follow.

create table keys (
    id text primary key,
    name text not null,
    -- The end of its newest text, to tell it from others.
    hint text not null,
    user_id text,
    team_id text,
    plan_id text,
    -- JSON lists; null is no limit on that.
    models text,
    model_groups text,
    endpoints text,
    addresses text,
    rpm bigint,
    tpm bigint,
    concurrency bigint,
    tokens_per_day bigint,
    enabled bigint not null,
    expires_at bigint,
    -- 'api', or where it was imported from.
    origin text not null,
    created_at bigint not null,
    created_by text not null,
    revoked_at bigint,
    version bigint not null
);
create index keys_by_age on keys (created_at, id);
create index keys_of_user on keys (user_id, created_at, id);
create index keys_of_team on keys (team_id, created_at, id);
create index keys_of_plan on keys (plan_id, created_at, id);

-- The texts that a key is known by: one, or more while it is rotated or if it was imported in several spellings.
create table key_secrets (
    hash blob primary key,
    key_id text not null,
    hint text not null,
    created_at bigint not null,
    -- Null until it is rotated away.
    valid_until bigint
);
create index key_secrets_of_key on key_secrets (key_id, created_at);

-- Apart from the keys, so that use changes no version and no snapshot.
create table key_uses (
    key_id text primary key,
    last_used_at bigint not null
);

-- Prices that were set through the API: every version is kept.
create table prices (
    id text primary key,
    model text not null,
    provider text,
    effective_at bigint not null,
    -- The price as the configuration spells it, in JSON.
    body text not null,
    created_at bigint not null,
    created_by text not null
);
create index prices_of_model on prices (model, effective_at);

-- One line, so that writers wait for one another and numbers are seen in order.
create table change_counter (
    one bigint primary key,
    number bigint not null
);
insert into change_counter (one, number) values (1, 0);

create table changes (
    number bigint primary key,
    noun text not null,
    id text not null
);

create trigger keys_made after insert on keys begin
    update change_counter set number = number + 1;
    insert into changes (number, noun, id) select number, 'key', new.id from change_counter;
end;
create trigger keys_changed after update on keys begin
    update change_counter set number = number + 1;
    insert into changes (number, noun, id) select number, 'key', new.id from change_counter;
end;
create trigger keys_gone after delete on keys begin
    update change_counter set number = number + 1;
    insert into changes (number, noun, id) select number, 'key', old.id from change_counter;
end;
create trigger prices_made after insert on prices begin
    update change_counter set number = number + 1;
    insert into changes (number, noun, id) select number, 'price', new.id from change_counter;
end;
create trigger prices_gone after delete on prices begin
    update change_counter set number = number + 1;
    insert into changes (number, noun, id) select number, 'price', old.id from change_counter;
end;

-- Who a key belongs to, and the plan, decide what it may: their changes are noted, too; what people do with their accounts is not.
create trigger users_changed after update of team, plan, enabled on users begin
    update change_counter set number = number + 1;
    insert into changes (number, noun, id) select number, 'user', new.id from change_counter;
end;
create trigger users_gone after delete on users begin
    update change_counter set number = number + 1;
    insert into changes (number, noun, id) select number, 'user', old.id from change_counter;
end;
create trigger teams_changed after update of plan, enabled on teams begin
    update change_counter set number = number + 1;
    insert into changes (number, noun, id) select number, 'team', new.id from change_counter;
end;
create trigger teams_gone after delete on teams begin
    update change_counter set number = number + 1;
    insert into changes (number, noun, id) select number, 'team', old.id from change_counter;
end;
create trigger plans_changed after update on plans begin
    update change_counter set number = number + 1;
    insert into changes (number, noun, id) select number, 'plan', new.id from change_counter;
end;
create trigger plans_gone after delete on plans begin
    update change_counter set number = number + 1;
    insert into changes (number, noun, id) select number, 'plan', old.id from change_counter;
end;
