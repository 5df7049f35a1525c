//! When a queue sends, and what it does when it cannot.

use std::time::Duration;

use mcplex_testkit::otlp::Receiver;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;

use super::*;
use crate::options::Options;
use crate::plan::plan;

const SOON: Duration = Duration::from_secs(20);
/// Longer than a test waits.
const LONG: Duration = Duration::from_secs(3600);

fn pack(spans: &mut Vec<Span>) -> Batch {
    let spans = mem::take(spans);
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    Batch::Spans(ExportTraceServiceRequest { resource_spans }.encode_to_vec().into())
}

fn span(name: usize) -> Span {
    Span { name: name.to_string(), ..Span::default() }
}

fn queue(
    receiver: &Receiver,
    carrier: &Carrier,
    batching: Batching,
) -> (Queue<Vec<Span>>, Arc<Tally>) {
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), receiver.endpoint());
    let options = Options { env: vec![endpoint], ..Options::default() };
    let way = plan(&options, false).unwrap().spans.unwrap().way;
    let outlet = Outlet::new(&way, SOON).unwrap();
    let tally = Arc::new(Tally::default());
    let counted = Arc::clone(&tally);
    (Queue::start(carrier, batching, counted, outlet, "spans", pack), tally)
}

fn batching(queue: usize, batch: usize, delay: Duration) -> Batching {
    Batching { queue, batch, delay, timeout: SOON }
}

#[test]
fn a_full_batch_leaves_at_once_and_the_rest_waits_for_the_end() {
    let (receiver, carrier) = (Receiver::start().unwrap(), Carrier::start().unwrap());
    let (queue, tally) = queue(&receiver, &carrier, batching(100, 3, LONG));
    (0..3).for_each(|n| queue.push(span(n)));
    receiver.wait_for(SOON, |spans| spans.len() == 3);
    (3..5).for_each(|n| queue.push(span(n)));
    queue.flush().blocking_recv().unwrap();
    assert_eq!(receiver.spans().len(), 5);
    assert_eq!(tally.missing(), 0);
    // Three batches at most: what waits leaves in as few as it fits into.
    (5..12).for_each(|n| queue.push(span(n)));
    queue.flush().blocking_recv().unwrap();
    let names: Vec<_> = receiver.spans().iter().map(|span| span.name.clone()).collect();
    let expect: Vec<_> = (0..12).map(|n: usize| n.to_string()).collect();
    assert_eq!(names, expect);
    assert_eq!(tally.sent(), (12, 0));
}

#[test]
fn one_that_is_alone_waits_no_longer_than_the_delay() {
    let (receiver, carrier) = (Receiver::start().unwrap(), Carrier::start().unwrap());
    let batching = batching(100, 50, Duration::from_millis(10));
    let (queue, _tally) = queue(&receiver, &carrier, batching);
    for n in 1..4 {
        queue.push(span(n));
        receiver.wait_for(SOON, |spans| spans.len() == n);
    }
}

#[test]
fn what_finds_no_room_or_no_taker_is_counted() {
    let (receiver, carrier) = (Receiver::start().unwrap(), Carrier::start().unwrap());
    let (queue, tally) = queue(&receiver, &carrier, batching(4, 4, LONG));
    receiver.refuse(1);
    // The first four are a batch, which may or may not be on its way when the others come.
    (0..4).for_each(|n| queue.push(span(n)));
    queue.flush().blocking_recv().unwrap();
    receiver.reject(1);
    (0..3).for_each(|n| queue.push(span(n)));
    queue.flush().blocking_recv().unwrap();
    let (exported, refused) = tally.sent();
    assert_eq!(exported + refused, 7);
    assert!(refused == 1 || refused == 5, "{refused}");
    drop(carrier);
    // Its thread ends in a moment, and then nobody empties the queue any more.
    let gone = (0..1_000_000).any(|_| queue.flush().blocking_recv().is_err());
    assert!(gone);
    (0..100).for_each(|n| queue.push(span(n)));
    assert_eq!(tally.queued(), (11, 96));
    assert_eq!(tally.missing(), 107 - exported);
}
