//! How the run was made, and with what its figures can't be compared.

use super::Report;
use super::document::{Block, Item, ReportTable, Section};
use super::numbers::{count, number};
use crate::lab::folder::Run;
use crate::lab::saturate::P99_LIMIT_MS;
use crate::lab::stage::Stage;

/// The line under the title.
pub(super) fn subtitle(run: &Run) -> String {
    let settings = &run.settings;
    format!(
        "Store Manager {}, the course's load of {} users ({} new ones a second, {} s) on {} orders, stage by stage, on {} processors of {}.",
        run.about.commit,
        count(settings.users.into()),
        number(settings.spawn_rate).trim_end_matches(".00"),
        count(settings.seconds),
        count(settings.size().orders as u64),
        run.about.processors,
        run.about.processor
    )
}

pub(super) fn section(report: &Report<'_>) -> Section {
    let mut section = Section::new("run", "How this was measured");
    section.table(machine(report.run));
    section.table(settings(report.run));
    section.heading("What was not comparable");
    section.blocks.push(Block::List(limits(report)));
    section
}

fn machine(run: &Run) -> ReportTable {
    let about = &run.about;
    let mut table = ReportTable::new("Machine and versions", &["", ""]);
    let memory = format!("{:.1} GiB", about.memory_bytes as f64 / 1_073_741_824.0);
    let rows = [
        ("processor", about.processor.clone()),
        ("processors", about.processors.to_string()),
        ("memory", memory),
        ("kernel", about.kernel.clone()),
        ("commit", about.commit.clone()),
        ("host", about.host.clone()),
        ("proxy", about.proxy.clone()),
        (
            "programs (SHA-256)",
            run.settings.programs.chars().take(16).collect(),
        ),
        ("rustc", about.rustc.clone()),
        ("MariaDB", about.mariadb.clone()),
        ("Redis", about.redis.clone()),
        ("Locust", about.locust.clone()),
    ];
    for (name, value) in rows {
        table.row([name.into(), value]);
    }
    table
}

fn settings(run: &Run) -> ReportTable {
    let settings = &run.settings;
    let size = settings.size();
    let mut table = ReportTable::new("Settings", &["", ""]);
    let data = format!(
        "{} users, {} products, {} orders",
        count(size.users as u64),
        count(size.products as u64),
        count(size.orders as u64)
    );
    let load = format!(
        "{} users, {} more each second, {} s, 1 to 3 s between the requests of each",
        count(settings.users.into()),
        number(settings.spawn_rate),
        count(settings.seconds)
    );
    let search = match settings.saturate {
        true => format!(
            "a third each, sent on time whatever the answers take, p99 under {P99_LIMIT_MS:.0} ms and no failure"
        ),
        false => "left out".into(),
    };
    let rows = [
        ("data", data),
        ("load", load),
        (
            "mix",
            "a third POST /orders (3 in 10 with 2 to 5 products), a third each report".into(),
        ),
        ("highest rate", search),
        ("seed", settings.seed.to_string()),
        (
            "reference",
            settings.reference.clone().unwrap_or_else(|| "none".into()),
        ),
    ];
    for (name, value) in rows {
        table.row([name.into(), value]);
    }
    table
}

fn limits(report: &Report<'_>) -> Vec<Item> {
    let item = |lead: &str, text: &str| Item {
        lead: lead.into(),
        text: text.into(),
    };
    let mut items = vec![
        item(
            "One machine.",
            "Hosts, proxy, MariaDB, Redis and the load generators share its processors. What the servers and Locust use is in the charts; what the generator of the highest rates uses is part of the busy processors in their table. On machines of their own the servers would do more, and several instances would help more.",
        ),
        item(
            "A closed loop.",
            "The course's users wait for each answer and think for 1 to 3 s, so that they ask for about half as many requests a second as they are, and for fewer when answers are slow. The throughput of stages that keep up is therefore the same; the highest rates tell them apart.",
        ),
        item(
            "Short steps.",
            "The highest rate is found with steps of a few seconds: it is what the stage stands for that long, to within a tenth or so.",
        ),
        item(
            "Commits.",
            "MariaDB writes each commit to the system at once and to the disk within a second (innodb_flush_log_at_trx_commit=2), for all stages alike.",
        ),
        item(
            "Orders, statement by statement.",
            "MariaDB is started again for it, after everything else of a stage, and writes each statement to a log: what is said of statements is of that run alone, in which each takes a little longer than without.",
        ),
        item(
            "Locust's clock.",
            "Locust is one Python process and rounds times to milliseconds, and to two digits above 100 ms. When it is busy, it adds to the times that it measures.",
        ),
        item(
            "One run.",
            "Nothing was repeated. Differences under a tenth mean nothing.",
        ),
    ];
    if report
        .stages
        .iter()
        .any(|result| result.stage == Stage::Reference)
    {
        items.push(item("The reference.", "Only what Locust and the search see of it is comparable. Its processors, memory, statements and data are its own, and it was neither started, filled nor warmed by this run beyond a few requests."));
    }
    if report.run.settings.quick {
        items.push(item(
            "A quick run.",
            "Its figures are those of programs built for tests, with little data.",
        ));
    }
    items
}
