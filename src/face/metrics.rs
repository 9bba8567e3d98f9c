//! `/_ring/metrics`: what a node has counted, in the text format of Prometheus.

use super::status::{info, members};
use crate::{
    net::{
        counts::OperationKind,
        handle::{Gauges, NodeHandle},
    },
    ring::{
        message::{Info, Refusal, Row, Status},
        view::MemberState,
    },
    serve::exposition::Exposition,
    store::disk::DiskStats,
};

/// The text; `http` are the families that the HTTP server has written.
pub(super) async fn text(node: &NodeHandle, http: &str) -> Result<String, Refusal> {
    let (info, (members, _), gauges) = (info(node).await?, members(node).await?, node.gauges());
    let mut text = Exposition::default();
    of_ring(&mut text, &info, &members);
    of_operations(&mut text, &gauges);
    of_traffic(&mut text, &gauges);
    gauges.disk.iter().for_each(|disk| of_disk(&mut text, disk));
    text.append(http);
    Ok(text.into_text())
}

fn of_ring(text: &mut Exposition, info: &Info, members: &[Row]) {
    let help = "Always 1; the label is the release.";
    text.family("smolring_build_info", "gauge", help);
    text.sample(format_args!("version=\"{}\"", env!("CARGO_PKG_VERSION")), 1);
    let help = "Whether the node holds what the ring holds.";
    text.one("smolring_ready", "gauge", help, u8::from(info.ready));
    let help = "Whether the node had no room for a file of the ring.";
    text.one("smolring_full", "gauge", help, u8::from(info.full));
    text.family("smolring_members", "gauge", "Members that the node knows, by their state.");
    let count =
        |is: fn(&MemberState) -> bool| members.iter().filter(|row| is(&row.member.state)).count();
    text.sample("state=\"alive\"", count(|it| matches!(it, MemberState::Alive)));
    text.sample("state=\"gone\"", count(|it| matches!(it, MemberState::Gone { .. })));
    text.sample("state=\"left\"", count(|it| matches!(it, MemberState::Left { .. })));
    text.one("smolring_files", "gauge", "Files that the node holds.", info.files);
    let help = "Bytes that files take of the room of the store, 128 for each included.";
    text.one("smolring_store_bytes", "gauge", help, info.bytes);
    let help = "How far the clock of the node is ahead of that of the ring; negative: behind.";
    text.one("smolring_clock_offset_seconds", "gauge", help, info.clock_off_ms as f64 / 1e3);
    let own = members.iter().find(|row| row.address == info.me);
    if let Some(micros) = own.and_then(|row| row.report?.round_trip_us) {
        let help = "How long the next member usually takes to answer.";
        text.one("smolring_round_trip_seconds", "gauge", help, f64::from(micros) / 1e6);
    }
}

fn of_operations(text: &mut Exposition, gauges: &Gauges) {
    let operations = || OperationKind::ALL.into_iter().zip(&gauges.counts.operations);
    let help = "Requests of clients that are answered, by what they asked for and the status.";
    text.family("smolring_operations_total", "counter", help);
    for (kind, counts) in operations() {
        let word = kind.word();
        text.sample(format_args!("operation=\"{word}\",code=\"200\""), counts.done);
        let refused = Status::ALL.into_iter().zip(counts.refused);
        for (status, count) in refused.filter(|&(_, count)| count > 0) {
            let code = status.words().0;
            text.sample(format_args!("operation=\"{word}\",code=\"{code}\""), count);
        }
    }
    let help = "From when the node had all of a request to when it had the answer.";
    text.family("smolring_operation_duration_seconds", "histogram", help);
    for (kind, counts) in operations() {
        text.durations(&format!("operation=\"{}\"", kind.word()), &counts.durations);
    }
    let help = "Requests that are not answered yet.";
    text.one("smolring_operations_in_flight", "gauge", help, gauges.operations);
}

fn of_traffic(text: &mut Exposition, gauges: &Gauges) {
    let Gauges { counts, received_bytes, sent_bytes, .. } = gauges;
    let help = "Changes of the list of members.";
    text.one("smolring_view_changes_total", "counter", help, counts.view_changes);
    let help = "Members that this node found dead.";
    text.one("smolring_members_found_dead_total", "counter", help, counts.deaths);
    text.family("smolring_connections", "gauge", "Open connections, by what is at the other end.");
    text.sample("peer=\"client\"", gauges.clients);
    text.sample("peer=\"node\"", gauges.links);
    let help = "Bytes of the line protocol that were received.";
    text.one("smolring_received_bytes_total", "counter", help, received_bytes);
    let help = "Bytes of the line protocol that were sent.";
    text.one("smolring_sent_bytes_total", "counter", help, sent_bytes);
    let help = "Bytes of files in memory that are on their way.";
    text.one("smolring_in_flight_bytes", "gauge", help, gauges.flight_bytes);
    let help = "Large files that are being copied from other members.";
    text.one("smolring_pulls_in_progress", "gauge", help, gauges.pulls);
    let help = "Versions that catching up has yet to bring, as far as that is known.";
    text.one("smolring_sync_missing_versions", "gauge", help, gauges.lacking);
    let help = "Versions that catching up has brought.";
    text.one("smolring_sync_versions_total", "counter", help, counts.caught_up_files);
    let help = "Contents that were found damaged on the disk.";
    text.one("smolring_damaged_contents_total", "counter", help, counts.damaged);
    let help = "Links that were closed because of what was received on them.";
    text.one("smolring_protocol_errors_total", "counter", help, counts.nonsense);
}

fn of_disk(text: &mut Exposition, disk: &DiskStats) {
    text.family("smolring_disk_bytes", "gauge", "Bytes in the data folder, by the kind of file.");
    text.sample("kind=\"log\"", disk.log_bytes);
    text.sample("kind=\"content\"", disk.file_bytes);
    let help = "How many of the bytes of logs compaction could give back.";
    text.one("smolring_disk_reclaimable_bytes", "gauge", help, disk.dead_bytes);
    let help = "Writes that are not on the disk yet.";
    text.one("smolring_disk_queued_writes", "gauge", help, disk.queued_writes);
    text.one(
        "smolring_disk_queued_reads",
        "gauge",
        "Reads that wait for the disk.",
        disk.queued_reads,
    );
    let help = "How long it took to write what was written together, with the sync.";
    text.family("smolring_disk_commit_duration_seconds", "histogram", help);
    text.durations("", &disk.commits);
    text.one("smolring_disk_syncs_total", "counter", "Syncs of a log.", disk.syncs);
    text.one("smolring_disk_faults_total", "counter", "Writes and syncs that failed.", disk.faults);
}
