-- What processes keep in memory of accounts and budgets is noted when it changes, so that none needs another's clock to find it. What
-- is given and spent is not: that comes with leases.

create function waypost_note_account() returns trigger language plpgsql as $$
declare
    counted bigint;
begin
    update change_counter set number = number + 1 returning number into counted;
    insert into changes (number, noun, id) values (counted, 'account', new.name);
    return null;
end
$$;

create trigger ledger_accounts_made after insert on ledger_accounts
    for each row when (new.prepaid = 1) execute function waypost_note_account();
create trigger ledger_accounts_noted after update of prepaid, read_only on ledger_accounts
    for each row when (old.prepaid <> new.prepaid or old.read_only <> new.read_only)
    execute function waypost_note_account();
create trigger ledger_budgets_noted after insert or update on ledger_budgets
    for each row execute function waypost_note_change('budget');
