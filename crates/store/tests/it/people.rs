//! Users, teams, plans, invites, sessions and identities, on both databases.

use std::time::Duration;

use serde_json::json;
use waypost_core::role::{Actor, Role};
use waypost_core::secret::Secret;
use waypost_store::audit::{self, Entry};
use waypost_store::page::{Cursor, Scope};
use waypost_store::plans::{self, Billing, Terms};
use waypost_store::sessions::{self, Refresh, Rotation, Session};
use waypost_store::users::{self, Change, Filter, NewUser, User};
use waypost_store::{Store, StoreError, id, identities, invites, meta, teams};

use crate::harness::{NOW, on_both};

/// Somebody whose address says who they are.
async fn add(store: &Store, number: u128, role: Role, team: Option<&str>) -> User {
    let id = id::new("usr", number);
    let email = format!("Person{number}@Example.org");
    let password = Secret::new(format!("hash-{number}"));
    let new = NewUser { id: &id, email: &email, name: "A", role, team, plan: None, password: Some(&password) };
    let mut tx = store.begin().await.unwrap();
    let user = users::create(&mut tx, &new, NOW + i64::try_from(number).unwrap()).await.unwrap();
    let (actor, detail) = (Actor::cli(), json!({ "email": email }));
    let entry = Entry {
        at: NOW,
        actor: &actor,
        action: "user.create",
        subject: &user.id,
        team,
        detail: &detail,
        address: None,
        request_id: None,
    };
    audit::append(&mut tx, entry).await.unwrap();
    tx.commit().await.unwrap();
    user
}

async fn change(store: &Store, scope: &Scope, user: &User, change: Change<'_>) -> Result<User, StoreError> {
    let mut tx = store.begin().await?;
    let user = users::change(&mut tx, scope, &user.id, Some(user.version), &change, NOW + 99).await?;
    tx.commit().await?;
    Ok(user)
}

#[tokio::test]
async fn a_user_is_found_by_an_address_in_any_case_and_the_address_is_theirs_alone() {
    on_both(async |store| {
        assert!(users::is_empty(&store).await.unwrap());
        let user = add(&store, 1, Role::Member, None).await;
        assert!(!users::is_empty(&store).await.unwrap());
        let (found, hash) = users::by_login(&store, " person1@EXAMPLE.org ").await.unwrap().unwrap();
        assert_eq!((found, hash.unwrap().expose()), (user.clone(), "hash-1"));
        assert!(users::by_login(&store, "person2@example.org").await.unwrap().is_none());
        let mut tx = store.begin().await.unwrap();
        let again = NewUser {
            id: "usr_x",
            email: "PERSON1@example.ORG",
            name: "",
            role: Role::Owner,
            team: None,
            plan: None,
            password: None,
        };
        let error = users::create(&mut tx, &again, NOW).await.unwrap_err();
        assert!(matches!(error, StoreError::Taken(_)), "{error:?}");
    })
    .await;
}

#[tokio::test]
async fn a_change_needs_the_version_that_was_read_and_ends_sessions_where_it_takes_something_away() {
    on_both(async |store| {
        add(&store, 1, Role::Owner, None).await;
        let user = add(&store, 2, Role::Admin, None).await;
        let named = change(&store, &Scope::All, &user, Change { name: Some("B"), ..Change::default() }).await.unwrap();
        assert_eq!((named.name.as_str(), named.version, named.generation), ("B", 2, 1));
        let stale = change(&store, &Scope::All, &user, Change { name: Some("C"), ..Change::default() }).await;
        assert!(matches!(stale, Err(StoreError::Stale)), "{stale:?}");
        let demoted = Change { role: Some(Role::Member), ..Change::default() };
        let demoted = change(&store, &Scope::All, &named, demoted).await.unwrap();
        assert_eq!((demoted.role, demoted.generation), (Role::Member, 2));
        let off = Change { enabled: Some(false), ..Change::default() };
        let off = change(&store, &Scope::All, &demoted, off).await.unwrap();
        assert_eq!((off.enabled, off.generation), (false, 3));
        assert_eq!(users::get(&store, &Scope::All, &user.id).await.unwrap(), off);
        assert_eq!(users::changed_since(&store, NOW + 50).await.unwrap(), [off]);
    })
    .await;
}

#[tokio::test]
async fn whoever_changes_somebody_whose_sessions_are_being_ended_brings_none_back() {
    on_both(async |store| {
        let user = add(&store, 1, Role::Member, None).await;
        let mut ending = store.begin().await.unwrap();
        users::end_sessions(&mut ending, &user.id, NOW).await.unwrap();
        let (elsewhere, before) = (store.clone(), user.clone());
        let changing = tokio::spawn(async move {
            change(&elsewhere, &Scope::All, &before, Change { name: Some("new"), ..Change::default() }).await
        });
        // It has read what there was, or waits for its turn.
        tokio::time::sleep(Duration::from_millis(50)).await;
        ending.commit().await.unwrap();
        let changed = changing.await.unwrap().unwrap();
        let kept = users::get(&store, &Scope::All, &user.id).await.unwrap();
        assert_eq!((kept.generation, changed.generation), (user.generation + 1, user.generation + 1));
        assert_eq!(kept.name, "new");
    })
    .await;
}

#[tokio::test]
async fn whose_sessions_are_ended_is_found_out_when_nobody_else_changes_them() {
    on_both(async |store| {
        let user = add(&store, 1, Role::Member, Some("team_a")).await;
        let end = async |scope: &Scope, version| {
            let mut tx = store.begin().await.unwrap();
            let ended = users::end_sessions_of(&mut tx, scope, &user.id, version, NOW).await;
            if ended.is_ok() {
                tx.commit().await.unwrap();
            }
            ended
        };
        let (ours, theirs) = (Scope::Team("team_a".to_owned()), Scope::Team("team_b".to_owned()));
        assert!(matches!(end(&theirs, None).await, Err(StoreError::NotFound)));
        assert!(matches!(end(&ours, Some(user.version + 1)).await, Err(StoreError::Stale)));
        assert_eq!(end(&ours, Some(user.version)).await.unwrap().generation, user.generation + 1);
    })
    .await;
}

#[tokio::test]
async fn the_last_owner_stays_one() {
    on_both(async |store| {
        let first = add(&store, 1, Role::Owner, None).await;
        // An owner within a team is none of the whole.
        add(&store, 2, Role::Owner, Some("team_a")).await;
        for less in [
            Change { role: Some(Role::Admin), ..Change::default() },
            Change { enabled: Some(false), ..Change::default() },
            Change { team: Some(Some("team_a")), ..Change::default() },
        ] {
            let refused = change(&store, &Scope::All, &first, less).await;
            assert!(matches!(&refused, Err(StoreError::Refused(why)) if why.contains("last owner")), "{refused:?}");
        }
        add(&store, 3, Role::Owner, None).await;
        let less = Change { role: Some(Role::Admin), ..Change::default() };
        assert_eq!(change(&store, &Scope::All, &first, less).await.unwrap().role, Role::Admin);
    })
    .await;
}

#[tokio::test]
async fn a_team_knows_nothing_of_another() {
    on_both(async |store| {
        let (a, b) = (Scope::Team("team_a".to_owned()), Scope::Team("team_b".to_owned()));
        let ours = add(&store, 1, Role::Member, Some("team_a")).await;
        add(&store, 2, Role::Member, None).await;
        add(&store, 3, Role::Member, Some("team_b")).await;
        assert_eq!(users::get(&store, &a, &ours.id).await.unwrap(), ours);
        assert!(matches!(users::get(&store, &b, &ours.id).await, Err(StoreError::NotFound)));
        assert!(matches!(
            users::get(&store, &Scope::Own("usr_x".to_owned()), &ours.id).await,
            Err(StoreError::NotFound)
        ));
        let refused = change(&store, &b, &ours, Change { name: Some("mine"), ..Change::default() }).await;
        assert!(matches!(refused, Err(StoreError::NotFound)), "{refused:?}");
        // Not even by asking for it by name.
        let filter = Filter { team: Some("team_a"), ..Filter::default() };
        assert_eq!(users::page(&store, &b, &filter, None, 10).await.unwrap().rows, []);
        assert_eq!(users::page(&store, &a, &Filter::default(), None, 10).await.unwrap().rows, [ours]);
        let (rows, _) = audit::page(&store, &b, &audit::Filter::default(), None, 10).await.unwrap();
        assert_eq!(rows.iter().map(|row| row.number).collect::<Vec<_>>(), [3]);
    })
    .await;
}

#[tokio::test]
async fn a_list_goes_on_where_it_ended_although_more_has_come() {
    on_both(async |store| {
        for number in 1..=5 {
            add(&store, number, Role::Member, None).await;
        }
        let filter = Filter { email: Some("PERSON"), ..Filter::default() };
        let first = users::page(&store, &Scope::All, &filter, None, 2).await.unwrap();
        add(&store, 6, Role::Member, None).await;
        let cursor: Cursor = first.next.unwrap().to_string().parse().unwrap();
        let second = users::page(&store, &Scope::All, &filter, Some(&cursor), 2).await.unwrap();
        let third = users::page(&store, &Scope::All, &filter, second.next.as_ref(), 2).await.unwrap();
        let numbers: Vec<i64> =
            [first.rows, second.rows, third.rows].concat().iter().map(|user| user.created_at - NOW).collect();
        assert_eq!((numbers, third.next), (vec![5, 4, 3, 2, 1], None));
        let none = Filter { email: Some("%"), ..Filter::default() };
        assert_eq!(users::page(&store, &Scope::All, &none, None, 10).await.unwrap().rows, []);
    })
    .await;
}

#[tokio::test]
async fn teams_and_plans_are_kept_and_changed_by_version() {
    on_both(async |store| {
        let mut tx = store.begin().await.unwrap();
        let team = teams::create(&mut tx, "team_a", "A", None, NOW).await.unwrap();
        let terms = Terms {
            models: vec!["gpt-*".to_owned()],
            rpm: Some(60),
            price_permille: 1200,
            billing: Billing::Prepaid,
            ..Terms::open("Pro")
        };
        let plan = plans::create(&mut tx, "plan_a", &terms, NOW).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(plans::all(&store).await.unwrap(), std::slice::from_ref(&plan));
        assert_eq!(plans::page(&store, None, 5).await.unwrap().rows, std::slice::from_ref(&plan));

        let mut tx = store.begin().await.unwrap();
        let given = teams::Change { plan: Some(Some("plan_a")), ..teams::Change::default() };
        let changed = teams::change(&mut tx, &Scope::All, "team_a", Some(1), &given, NOW + 1).await.unwrap();
        assert_eq!((changed.version, changed.plan.as_deref()), (2, Some("plan_a")));
        let stale = teams::change(&mut tx, &Scope::All, "team_a", Some(1), &given, NOW + 1).await;
        assert!(matches!(stale, Err(StoreError::Stale)));
        let foreign = teams::change(&mut tx, &Scope::Team("team_b".into()), "team_a", None, &given, NOW + 1).await;
        assert!(matches!(foreign, Err(StoreError::NotFound)));
        let dearer = Terms { price_permille: 2000, ..terms.clone() };
        let plan = plans::change(&mut tx, "plan_a", Some(1), &dearer, false, NOW + 1).await.unwrap();
        assert!(matches!(plans::change(&mut tx, "plan_a", Some(1), &dearer, true, NOW).await, Err(StoreError::Stale)));
        for wrong in [Terms { rpm: Some(0), ..terms.clone() }, Terms { price_permille: -1, ..terms }] {
            assert!(matches!(plans::create(&mut tx, "plan_b", &wrong, NOW).await, Err(StoreError::Refused(_))));
        }
        tx.commit().await.unwrap();
        assert_eq!(plans::get(&store, "plan_a").await.unwrap(), plan);
        assert_eq!(teams::get(&store, &Scope::All, "team_a").await.unwrap().name, team.name);
        assert_eq!(teams::page(&store, &Scope::Team("team_b".into()), None, 5).await.unwrap().rows, []);
    })
    .await;
}

#[tokio::test]
async fn an_invite_lets_one_in_once_and_in_time() {
    on_both(async |store| {
        let invite = invites::Invite {
            id: "inv_a".to_owned(),
            created_at: NOW,
            expires_at: NOW + 100,
            made_by: "usr_a".to_owned(),
            user: None,
            email: None,
            role: Role::Operator,
            team: Some("team_a".to_owned()),
            plan: None,
            used_at: None,
            used_by: None,
        };
        let mut tx = store.begin().await.unwrap();
        invites::create(&mut tx, &invite, "hash").await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(invites::usable(&store, "hash", NOW + 99).await.unwrap(), Some(invite.clone()));
        assert_eq!(invites::usable(&store, "hash", NOW + 100).await.unwrap(), None);
        assert_eq!(invites::usable(&store, "other", NOW).await.unwrap(), None);
        let mut tx = store.begin().await.unwrap();
        let foreign = invites::withdraw(&mut tx, &Scope::Team("team_b".into()), "inv_a").await;
        assert!(matches!(foreign, Err(StoreError::NotFound)));
        tx.rollback().await.unwrap();
        let mut tx = store.begin().await.unwrap();
        assert!(matches!(invites::redeem(&mut tx, "inv_a", "usr_b", NOW + 100).await, Err(StoreError::NotFound)));
        invites::redeem(&mut tx, "inv_a", "usr_b", NOW + 1).await.unwrap();
        assert!(matches!(invites::redeem(&mut tx, "inv_a", "usr_c", NOW + 1).await, Err(StoreError::NotFound)));
        tx.commit().await.unwrap();
        assert_eq!(invites::usable(&store, "hash", NOW + 2).await.unwrap(), None);
        let page = invites::page(&store, &Scope::Team("team_a".into()), None, 5).await.unwrap();
        assert_eq!(page.rows[0].used_by.as_deref(), Some("usr_b"));
    })
    .await;
}

fn session(number: i64, user: &str) -> Session {
    Session {
        id: format!("ses_{number}"),
        user: user.to_owned(),
        team: None,
        created_at: NOW + number,
        changed_at: NOW + number,
        expires_at: NOW + 1000,
        ended_at: None,
        ended_why: None,
        generation: 1,
        agent: "curl".to_owned(),
        address: "192.0.2.1".to_owned(),
    }
}

async fn open(store: &Store, session: &Session) {
    let mut tx = store.begin().await.unwrap();
    let family = format!("family-{}", session.id);
    sessions::create(&mut tx, session, Refresh { family: &family, current: "first" }).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn the_oldest_sessions_of_somebody_end_when_there_are_too_many() {
    on_both(async |store| {
        for number in 1..=5 {
            open(&store, &session(number, "usr_a")).await;
        }
        open(&store, &session(9, "usr_b")).await;
        let mut tx = store.begin().await.unwrap();
        assert_eq!(sessions::end_oldest(&mut tx, "usr_a", 3, NOW + 9).await.unwrap(), 2);
        tx.commit().await.unwrap();
        for number in [1, 2, 3, 4, 5, 9] {
            let id = session(number, "").id;
            let kept = sessions::get(&store, &Scope::All, &id).await.unwrap();
            assert_eq!(kept.ended_at.is_some(), number < 3, "{number}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_refresh_token_is_replaced_once_and_known_when_it_comes_again() {
    on_both(async |store| {
        open(&store, &session(1, "usr_a")).await;
        let found = sessions::by_family(&store, "family-ses_1").await.unwrap();
        assert_eq!(found, Some(session(1, "usr_a")));
        let rotate = async |old: &str, new: &str, now: i64| {
            let mut tx = store.begin().await.unwrap();
            let rotation = sessions::rotate(&mut tx, "ses_1", old, new, now, now + 1000).await.unwrap();
            tx.commit().await.unwrap();
            rotation
        };
        assert_eq!(rotate("first", "second", NOW + 10).await, Rotation::Done);
        assert_eq!(rotate("first", "third", NOW + 11).await, Rotation::Reused);
        assert_eq!(rotate("second", "third", NOW + 1010).await, Rotation::Reused, "past its time");
        assert_eq!(rotate("second", "third", NOW + 1009).await, Rotation::Done);
        let mut tx = store.begin().await.unwrap();
        sessions::end(&mut tx, &Scope::Own("usr_a".into()), "ses_1", "reuse", NOW + 12).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(rotate("third", "fourth", NOW + 13).await, Rotation::Reused, "ended");
    })
    .await;
}

#[tokio::test]
async fn sessions_end_one_by_one_or_all_but_one_and_only_by_whom_they_concern() {
    on_both(async |store| {
        for (number, user) in [(1, "usr_a"), (2, "usr_a"), (3, "usr_a"), (4, "usr_b")] {
            open(&store, &session(number, user)).await;
        }
        let (a, b) = (Scope::Own("usr_a".to_owned()), Scope::Own("usr_b".to_owned()));
        let mut tx = store.begin().await.unwrap();
        assert!(matches!(sessions::end(&mut tx, &b, "ses_1", "x", NOW + 9).await, Err(StoreError::NotFound)));
        assert!(matches!(sessions::end(&mut tx, &a, "ses_9", "x", NOW + 9).await, Err(StoreError::NotFound)));
        sessions::end(&mut tx, &a, "ses_1", "logout", NOW + 9).await.unwrap();
        assert_eq!(sessions::end_all(&mut tx, "usr_a", Some("ses_2"), "password", NOW + 10).await.unwrap(), 1);
        sessions::keep(&mut tx, "ses_2", 2, NOW + 10).await.unwrap();
        tx.commit().await.unwrap();
        let live = sessions::page(&store, &a, None, NOW + 11, None, 9).await.unwrap().rows;
        assert_eq!(live.iter().map(|live| (live.id.as_str(), live.generation)).collect::<Vec<_>>(), [("ses_2", 2)]);
        assert_eq!(sessions::page(&store, &Scope::All, None, NOW + 11, None, 9).await.unwrap().rows.len(), 2);
        assert!(matches!(sessions::get(&store, &b, "ses_2").await, Err(StoreError::NotFound)));
        assert_eq!(sessions::get(&store, &a, "ses_3").await.unwrap().ended_why.as_deref(), Some("password"));
        assert_eq!(sessions::changed_since(&store, NOW + 9).await.unwrap().len(), 3);
        assert_eq!(sessions::prune(&store, NOW + 100).await.unwrap(), 2);
    })
    .await;
}

/// Adds what lets somebody in, under a name that is its id and its hash, too.
async fn offer(store: &Store, name: &str, made_by: &str, user: Option<&str>) {
    let invite = invites::Invite {
        id: name.to_owned(),
        created_at: NOW,
        expires_at: NOW + 100,
        made_by: made_by.to_owned(),
        user: user.map(str::to_owned),
        email: None,
        role: Role::Admin,
        team: None,
        plan: None,
        used_at: None,
        used_by: None,
    };
    let mut tx = store.begin().await.unwrap();
    invites::create(&mut tx, &invite, name).await.unwrap();
    tx.commit().await.unwrap();
}

/// Which of them are still kept, used or not, in order.
async fn offers(store: &Store) -> Vec<String> {
    let page = invites::page(store, &Scope::All, None, 50).await.unwrap();
    let mut names: Vec<String> = page.rows.into_iter().map(|invite| invite.id).collect();
    names.sort();
    names
}

#[tokio::test]
async fn whoever_loses_a_role_a_team_or_all_of_it_loses_resets_and_what_they_made_for_others() {
    on_both(async |store| {
        add(&store, 1, Role::Owner, None).await;
        for (number, less) in [
            (2, Change { role: Some(Role::Member), ..Change::default() }),
            (3, Change { team: Some(Some("team_a")), ..Change::default() }),
            (4, Change { enabled: Some(false), ..Change::default() }),
        ] {
            let user = add(&store, number, Role::Admin, None).await;
            offer(&store, "a reset of theirs", "usr_x", Some(&user.id)).await;
            offer(&store, "an invite they made", &user.id, None).await;
            offer(&store, "a reset they made", &user.id, Some("usr_y")).await;
            offer(&store, "one that was used", &user.id, None).await;
            offer(&store, "somebody else's", "usr_x", Some("usr_y")).await;
            let mut tx = store.begin().await.unwrap();
            invites::redeem(&mut tx, "one that was used", "usr_z", NOW).await.unwrap();
            tx.commit().await.unwrap();
            let named = Change { name: Some("B"), ..Change::default() };
            let named = change(&store, &Scope::All, &user, named).await.unwrap();
            assert_eq!(offers(&store).await.len(), 5);
            change(&store, &Scope::All, &named, less).await.unwrap();
            assert_eq!(offers(&store).await, ["one that was used", "somebody else's"]);
            let mut tx = store.begin().await.unwrap();
            sqlx::query("delete from invites").execute(&mut *tx).await.unwrap();
            tx.commit().await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn another_password_and_none_at_all_end_the_resets_that_were_not_used() {
    on_both(async |store| {
        let user = add(&store, 1, Role::Member, None).await;
        for round in 0..2 {
            offer(&store, "reset", "usr_x", Some(&user.id)).await;
            offer(&store, &format!("invite {round}"), &user.id, None).await;
            let mut tx = store.begin().await.unwrap();
            if round == 0 {
                users::set_password(&mut tx, &user.id, &Secret::new("new"), NOW).await.unwrap();
            } else {
                assert_eq!(users::forget_password(&mut tx, &user.id, NOW).await.unwrap(), 3);
            }
            tx.commit().await.unwrap();
        }
        assert_eq!(offers(&store).await, ["invite 0", "invite 1"]);
        assert_eq!(users::password(&store, &user.id).await.unwrap(), None);
        let user = users::get(&store, &Scope::All, &user.id).await.unwrap();
        assert_eq!((user.version, user.generation), (3, 3));
    })
    .await;
}

#[tokio::test]
async fn somebody_of_a_provider_is_one_user() {
    on_both(async |store| {
        let id = add(&store, 1, Role::Member, None).await.id;
        let mut tx = store.begin().await.unwrap();
        identities::link(&mut tx, "https://id.example", "sub-1", &id, NOW).await.unwrap();
        tx.commit().await.unwrap();
        let user =
            async |issuer, subject| users::by_identity(&store, issuer, subject).await.unwrap().map(|user| user.id);
        assert_eq!(user("https://id.example", "sub-1").await.as_ref(), Some(&id));
        assert_eq!(user("https://other.example", "sub-1").await, None);
        let mut tx = store.begin().await.unwrap();
        assert!(identities::is_linked(&mut tx, "https://id.example", &id).await.unwrap());
        assert!(!identities::is_linked(&mut tx, "https://other.example", &id).await.unwrap());
        assert!(!identities::is_linked(&mut tx, "https://id.example", "usr_b").await.unwrap());
        tx.rollback().await.unwrap();
        let mut tx = store.begin().await.unwrap();
        let twice = identities::link(&mut tx, "https://id.example", "sub-1", "usr_b", NOW).await;
        assert!(matches!(twice, Err(StoreError::Taken(_))), "{twice:?}");
        drop(tx);
        let mut tx = store.begin().await.unwrap();
        let gone = identities::unlink(&mut tx, &id).await.unwrap();
        assert_eq!(gone, [("https://id.example".to_owned(), "sub-1".to_owned())]);
        tx.commit().await.unwrap();
        assert_eq!(user("https://id.example", "sub-1").await, None);
    })
    .await;
}

#[tokio::test]
async fn a_password_is_set_and_renewed_and_setting_one_ends_sessions() {
    on_both(async |store| {
        let user = add(&store, 1, Role::Member, None).await;
        let mut tx = store.begin().await.unwrap();
        assert_eq!(users::set_password(&mut tx, &user.id, &Secret::new("new"), NOW + 1).await.unwrap(), 2);
        assert_eq!(users::end_sessions(&mut tx, &user.id, NOW + 2).await.unwrap(), 3);
        tx.commit().await.unwrap();
        users::renew_password(&store, &user.id, &Secret::new("old"), &Secret::new("no")).await.unwrap();
        assert_eq!(users::password(&store, &user.id).await.unwrap().unwrap().expose(), "new");
        users::renew_password(&store, &user.id, &Secret::new("new"), &Secret::new("newer")).await.unwrap();
        assert_eq!(users::password(&store, &user.id).await.unwrap().unwrap().expose(), "newer");
    })
    .await;
}

#[tokio::test]
async fn what_is_kept_by_name_stays_until_whoever_knows_it_takes_it() {
    on_both(async |store| {
        assert_eq!(meta::kept_or(&store, "thing", "first", NOW).await.unwrap(), "first");
        assert_eq!(meta::kept_or(&store, "thing", "second", NOW).await.unwrap(), "first");
        let mut tx = store.begin().await.unwrap();
        assert!(!meta::put(&mut tx, "thing", "third", NOW).await.unwrap());
        assert!(!meta::take(&mut tx, "thing", "second").await.unwrap());
        tx.commit().await.unwrap();
        assert_eq!(meta::get(&store, "thing").await.unwrap().as_deref(), Some("first"));
        let mut tx = store.begin().await.unwrap();
        assert!(meta::take(&mut tx, "thing", "first").await.unwrap());
        assert!(!meta::take(&mut tx, "thing", "first").await.unwrap());
        assert!(meta::put(&mut tx, "other", "value", NOW).await.unwrap());
        meta::remove(&mut tx, "other").await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(
            (meta::get(&store, "thing").await.unwrap(), meta::get(&store, "other").await.unwrap()),
            (None, None)
        );
    })
    .await;
}
