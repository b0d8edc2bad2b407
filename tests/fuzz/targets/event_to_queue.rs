//! A body → Flux's event → a message that SQS takes and that reads as it was written.

#![no_main]

use fuzz::intake::event;
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use shared::EventMessage;
use shared::message::event_id;

/// Room for what intake adds around an event.
const ENVELOPE: usize = 1024;

fuzz_target!(|body: &[u8]| {
    let event = match event::parse(body) {
        Ok(event) => event,
        Err(error) => {
            let text = error.to_string();
            assert!(text.len() < 200 && text.is_ascii(), "{text}");
            return;
        }
    };
    assert!(body.trim_ascii_start().starts_with(b"{"));

    let again = serde_json::to_vec(&event).unwrap();
    assert_eq!(event::parse(&again).as_ref(), Ok(&event));

    let message = EventMessage {
        id: event_id("dev", 1, body),
        cluster: "dev".into(),
        generation: 1,
        previous_root_key: false,
        received_at: Timestamp::UNIX_EPOCH,
        event,
    };
    let queued = message.to_queue().unwrap();
    assert_eq!(message.to_queue().unwrap(), queued);
    assert_eq!(
        serde_json::from_str::<EventMessage>(&queued.body).unwrap(),
        message
    );
    // https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
    assert!(queued.body.bytes().all(|byte| matches!(byte, b' '..=b'~')));
    assert!(queued.body.len() <= 6 * body.len() + ENVELOPE);
    for id in [&queued.group_id, &queued.dedupe_id, &message.id] {
        assert!((1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }

    // Each in its own group and none of the five minutes of another.
    let mut other = message;
    other.cluster = "prod".into();
    let other = other.to_queue().unwrap();
    assert_ne!(other.group_id, queued.group_id);
    assert_ne!(other.dedupe_id, queued.dedupe_id);
});
