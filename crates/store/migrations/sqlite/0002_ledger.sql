-- What accounts have been given and have spent: sums of their entries, kept beside them so that nobody has to add up.
-- Payers: user:<id>, team:<id>, key:<id>. The other side: revenue, adjustments, vouchers, overrun.
create table ledger_accounts (
    name text primary key,
    -- 1: it can spend what it was given and no more. 0: only budgets limit it.
    prepaid bigint not null default 0 check (prepaid in (0, 1)),
    granted bigint not null default 0,
    spent bigint not null default 0,
    -- What nodes have taken to themselves and not yet reported as spent.
    leased bigint not null default 0 check (leased >= 0),
    -- 1: its books do not add up; nobody spends from it until somebody has looked.
    read_only bigint not null default 0 check (read_only in (0, 1)),
    changed_at bigint not null,
    constraint ledger_no_overdraft check (prepaid = 0 or spent + leased <= granted)
);
create index ledger_accounts_changed on ledger_accounts (changed_at);

-- What happened, in order, per node. Each line's hash covers the line before.
create table ledger_transactions (
    node text not null,
    number bigint not null check (number > 0),
    -- The id of the request, or of what an operator did. One line each, for ever.
    request text not null unique,
    kind text not null,
    at bigint not null,
    outcome text not null,
    actor text not null,
    reason text not null,
    prices text not null,
    usage_counts text not null,
    cost bigint not null,
    charged bigint not null,
    held bigint not null,
    budgets text not null,
    key_id text not null,
    user_id text not null,
    team_id text not null,
    model text not null,
    deployment text not null,
    hash blob not null,
    primary key (node, number)
);
create index ledger_transactions_at on ledger_transactions (at, node, number);

-- The movements of each: they add up to nothing.
create table ledger_entries (
    node text not null,
    number bigint not null,
    place bigint not null,
    account text not null,
    amount bigint not null,
    primary key (node, number, place)
);
create index ledger_entries_account on ledger_entries (account, node, number);

create table ledger_budgets (
    id text primary key,
    scope text not null,
    length text not null,
    amount bigint not null check (amount >= 0),
    hard bigint not null check (hard in (0, 1)),
    alerts text not null,
    deleted bigint not null default 0 check (deleted in (0, 1)),
    changed_at bigint not null
);
create index ledger_budgets_scope on ledger_budgets (scope, id);
create index ledger_budgets_changed on ledger_budgets (changed_at);

create table ledger_windows (
    budget text not null,
    start_at bigint not null,
    -- What may be spent in this window.
    amount bigint not null,
    hard bigint not null check (hard in (0, 1)),
    spent bigint not null default 0,
    leased bigint not null default 0 check (leased >= 0),
    -- The highest per cent that was told.
    alerted bigint not null default 0,
    primary key (budget, start_at),
    constraint ledger_no_overspend check (hard = 0 or spent + leased <= amount)
);

-- What a node holds of an account or of a budget's window (start_at; 0 for accounts).
create table ledger_leases (
    node text not null,
    purse text not null,
    start_at bigint not null,
    unspent bigint not null check (unspent >= 0),
    primary key (node, purse, start_at)
);

-- How far each node's journal is folded in, and the end of its chain.
create table ledger_nodes (
    node text primary key,
    number bigint not null,
    hash blob not null,
    segment bigint not null,
    byte_offset bigint not null,
    seen_at bigint not null,
    written_off bigint not null default 0 check (written_off in (0, 1))
);

create table ledger_vouchers (
    id text primary key,
    -- SHA-256 of the code; the code itself is shown once and kept nowhere.
    code blob not null unique,
    label text not null,
    amount bigint not null check (amount > 0),
    created_at bigint not null,
    created_by text not null,
    -- 0: never.
    expires_at bigint not null,
    revoked_at bigint not null default 0,
    redeemed_at bigint not null default 0,
    redeemed_by text not null default ''
);
create index ledger_vouchers_created on ledger_vouchers (created_at, id);

-- History is never changed. Mistakes are mended by reversals.
create trigger ledger_transactions_kept before update on ledger_transactions
begin select raise(abort, 'the ledger is append-only: reverse the transaction instead'); end;
create trigger ledger_transactions_stay before delete on ledger_transactions
begin select raise(abort, 'the ledger is append-only: reverse the transaction instead'); end;
create trigger ledger_entries_kept before update on ledger_entries
begin select raise(abort, 'the ledger is append-only: reverse the transaction instead'); end;
create trigger ledger_entries_stay before delete on ledger_entries
begin select raise(abort, 'the ledger is append-only: reverse the transaction instead'); end;
