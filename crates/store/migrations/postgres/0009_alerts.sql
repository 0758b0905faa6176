-- Budgets have versions, and say what becomes of requests that they have not enough for.
alter table ledger_budgets add column version bigint not null default 1;
alter table ledger_budgets add column when_spent text not null default 'refuse'
    check (when_spent in ('refuse', 'degrade'));

-- What people are to be told: that something has come to a mark of its bound. One row for each mark and window, whoever saw
-- it first, and after any restart.
create table alerts (
    -- Made of what must be unique below, so that it is the same whoever sees it.
    id text primary key,
    created_at bigint not null,
    kind text not null,
    -- What it is about: a budget's id, an account, a key's id, or nothing where it is the instance.
    subject text not null,
    -- When the window began in which it counts.
    window_at bigint not null,
    -- Per cent of the bound.
    mark bigint not null,
    -- How far it was when it was seen, of how much: nano-USD or tokens or requests, as the unit says.
    reached bigint not null,
    bound bigint not null,
    unit text not null,
    -- Whose it is, where it is somebody's.
    user_id text not null default '',
    team_id text not null default '',
    -- When the webhook is to be told next. 0: never again.
    tell_at bigint not null,
    tries bigint not null default 0,
    -- When it had been told. 0: not yet.
    told_at bigint not null default 0,
    unique (kind, subject, window_at, mark)
);
create index alerts_by_time on alerts (created_at, id);
create index alerts_by_team on alerts (team_id, created_at, id);
create index alerts_by_user on alerts (user_id, created_at, id);
create index alerts_to_tell on alerts (tell_at) where tell_at > 0;

-- What all nodes together have come to in a window.
create table alert_sums (
    kind text not null,
    window_at bigint not null,
    amount bigint not null,
    primary key (kind, window_at)
);

-- How prepaid accounts stood when they were given something the last time: from then on their marks count anew.
create table alert_rounds (
    account text primary key,
    granted bigint not null,
    spent bigint not null
);
