use std::future::poll_fn;
use std::time::Duration;

use super::*;

fn about<'e>(key: &'e str, model: Option<&'e str>) -> About<'e> {
    About { request_id: "req_1", key, model }
}

fn start<'e>(key: &'e str, model: &'e str) -> Event<'e> {
    Event::RequestStart { about: about(key, Some(model)), operation: "chat", stream: false }
}

async fn next(feed: &mut Feed) -> Option<String> {
    let chunk = poll_fn(|cx| feed.poll_chunk(cx)).await?;
    Some(String::from_utf8(chunk.to_vec()).unwrap())
}

async fn listening(events: &Arc<Events>, filter: Filter) -> Feed {
    let mut feed = events.listen(filter).unwrap();
    assert_eq!(next(&mut feed).await.as_deref(), Some(": listening\n\n"));
    feed
}

#[tokio::test(start_paused = true)]
async fn who_does_not_listen_costs_nothing_and_who_does_hears_what_it_asked_for() {
    let events = Arc::new(Events::default());
    events.tell(|| panic!("nobody listens, so this is not put together"));
    let filter = Filter { key: Some("app".into()), model: Some("m".into()) };
    let mut feed = listening(&events, filter).await;
    assert!(events.is_watched());
    for (key, model) in [("app", "other"), ("other", "m"), ("app", "m")] {
        events.tell(|| start(key, model));
    }
    events.tell(|| Event::Breaker { deployment: "a/x", channel: "a", model: "x", from: "closed", to: "open" });
    events.tell(|| Event::Reload { trigger: "file", ok: true, errors: &[], generation: 2 });
    let heard = next(&mut feed).await.unwrap();
    assert!(heard.starts_with("id: 2\nevent: request_start\ndata: {\"at\":"), "{heard}");
    assert!(heard.ends_with("\"event\":\"request_start\",\"request_id\":\"req_1\",\"key\":\"app\",\"model\":\"m\",\"operation\":\"chat\",\"stream\":false}\n\n"), "{heard}");
    assert!(next(&mut feed).await.unwrap().contains("event: reload\n"));
    drop(feed);
    assert!(!events.is_watched());
}

#[tokio::test(start_paused = true)]
async fn who_listens_too_slowly_is_told_how_much_it_missed() {
    let events = Arc::new(Events::default());
    let mut feed = listening(&events, Filter::default()).await;
    for _ in 0..MOST_WAITING + 3 {
        events.tell(|| start("app", "m"));
    }
    assert_eq!(next(&mut feed).await.as_deref(), Some("event: lagged\ndata: {\"event\":\"lagged\",\"missed\":3}\n\n"));
    assert!(next(&mut feed).await.unwrap().starts_with("id: 3\n"));
}

#[tokio::test(start_paused = true)]
async fn silence_is_broken_by_a_sign_of_life_every_fifteen_seconds() {
    let events = Arc::new(Events::default());
    let mut feed = listening(&events, Filter::default()).await;
    let began = tokio::time::Instant::now();
    for beat in 1..=3 {
        assert_eq!(next(&mut feed).await.as_deref(), Some(": alive\n\n"));
        assert_eq!(began.elapsed(), Duration::from_secs(15 * beat));
    }
}

#[tokio::test(start_paused = true)]
async fn sixteen_may_listen_and_all_of_them_are_told_the_end() {
    let events = Arc::new(Events::default());
    let mut feeds = Vec::new();
    for _ in 0..MOST_LISTENERS {
        feeds.push(listening(&events, Filter::default()).await);
    }
    assert!(events.listen(Filter::default()).is_none());
    drop(feeds.pop());
    feeds.push(listening(&events, Filter::default()).await);
    events.tell(|| start("app", "m"));
    events.end();
    for feed in &mut feeds {
        assert!(next(feed).await.unwrap().contains("request_start"));
        assert_eq!(next(feed).await, None);
        assert_eq!(next(feed).await, None);
    }
    drop(feeds);
    let mut late = listening(&events, Filter::default()).await;
    assert_eq!(next(&mut late).await, None);
}
