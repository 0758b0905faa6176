//! Prices in the database: every version is kept, and only what has not come into effect can be taken back.

use waypost_store::changes::Since;
use waypost_store::page::Cursor;
use waypost_store::prices::{self, Filter, PriceVersion};
use waypost_store::{Store, StoreError};

use crate::harness::{NOW, on_both};

fn version(number: i64, model: &str, effective_at: i64) -> PriceVersion {
    PriceVersion {
        id: format!("price_{number}"),
        model: model.to_owned(),
        provider: (number % 2 == 0).then(|| "openai".to_owned()),
        effective_at,
        body: format!(r#"{{"model":"{model}","input":{number}}}"#),
        created_at: NOW + number / 3,
        created_by: "usr_ann".to_owned(),
    }
}

async fn add(store: &Store, version: &PriceVersion) {
    let mut tx = store.begin().await.unwrap();
    prices::add(&mut tx, version).await.unwrap();
    tx.commit().await.unwrap();
}

async fn withdraw(store: &Store, id: &str, now: i64) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    prices::withdraw(&mut tx, id, now).await?;
    Ok(tx.commit().await?)
}

#[tokio::test]
async fn versions_are_listed_page_by_page_the_newest_first_and_by_model() {
    on_both(async |store| {
        // Several of one moment: the id decides.
        let all: Vec<_> = (0..9).map(|number| version(number, ["a", "b*"][number as usize % 2], NOW)).collect();
        for version in &all {
            add(&store, version).await;
        }
        let (mut seen, mut after): (Vec<PriceVersion>, Option<Cursor>) = (Vec::new(), None);
        loop {
            let page = prices::page(&store, &Filter::default(), after.as_ref(), 2).await.unwrap();
            assert!(page.rows.len() <= 2);
            seen.extend(page.rows);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let newest_first: Vec<_> = all.iter().rev().cloned().collect();
        assert_eq!(seen, newest_first);
        assert_eq!(prices::all(&store).await.unwrap(), newest_first);
        let of = async |filter: Filter<'_>| prices::page(&store, &filter, None, 100).await.unwrap().rows;
        let named = of(Filter { model: Some("b*"), ..Filter::default() }).await;
        assert_eq!(
            named.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(),
            ["price_7", "price_5", "price_3", "price_1"]
        );
        assert_eq!(of(Filter { model: Some("b*"), provider: Some("openai") }).await, []);
        assert_eq!(prices::get(&store, "price_4").await.unwrap(), all[4]);
        assert!(matches!(prices::get(&store, "price_x").await, Err(StoreError::NotFound)));
    })
    .await;
}

#[tokio::test]
async fn a_version_is_withdrawn_until_it_is_in_effect_and_never_after() {
    on_both(async |store| {
        add(&store, &version(1, "m", NOW + 10)).await;
        add(&store, &version(2, "m", NOW + 10)).await;
        let before = store.last_change().await.unwrap();
        withdraw(&store, "price_1", NOW + 9).await.unwrap();
        assert!(matches!(withdraw(&store, "price_1", NOW + 9).await, Err(StoreError::NotFound)));
        let refused = withdraw(&store, "price_2", NOW + 10).await.unwrap_err();
        assert!(refused.to_string().contains("set another price instead"), "{refused}");
        assert_eq!(prices::all(&store).await.unwrap().len(), 1);
        // Other processes are told.
        let Since::Changes(changes) = store.changes_since(before, 10).await.unwrap() else { panic!("they are few") };
        let told: Vec<_> = changes.iter().map(|change| (change.noun.as_str(), change.id.as_str())).collect();
        assert_eq!(told, [("price", "price_1")]);
    })
    .await;
}
