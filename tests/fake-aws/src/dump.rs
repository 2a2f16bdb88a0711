//! The log of requests as one line of JSON, for tests in other languages. Knows nothing of what they compare.

use fake_aws::{FakeAws, Received};
use serde_json::{Value, json};

/// What arrived since the last call, oldest first; the log begins anew.
pub(crate) fn take(fake: &FakeAws) -> String {
    let requests: Vec<Value> = fake.requests().iter().map(request).collect();
    fake.clear_log();
    format!("OK {}", Value::Array(requests))
}

fn request(received: &Received) -> Value {
    let pairs = |pairs: &[(String, String)]| {
        pairs.iter().map(|(name, value)| json!([name, value])).collect::<Vec<Value>>()
    };
    json!({
        "service": format!("{:?}", received.service),
        "kind": format!("{:?}", received.kind),
        "method": received.method,
        "target": received.target,
        "headers": pairs(&received.headers),
        "parameters": pairs(&received.parameters),
        "access_key_id": received.access_key_id,
        "caller": received.caller,
        "server_name": received.server_name,
        "status": received.status,
    })
}
