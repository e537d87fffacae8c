//! What the example `flights` does by macros, by hand: its task, and its actor as far as the example uses it.
//! Nobody passes the actor's handle on there, so here it cannot be passed on.

use std::collections::BTreeMap;

use rustyray::{
    ObjectRef, Result, View,
    manual::{
        self, ActorClass, ActorHandle, ActorOptions, Constructor, Function, IntoArg, Method, Plain,
        Residence, TaskOptions,
    },
};

use crate::{
    columns::{By, Flights},
    summary::{self, Summary, Tally},
};

pub fn summarise(flights: View<Flights>, by: By, group: u16, resamples: u32) -> Summary {
    summary::of_group(&flights, by, group, resamples)
}

#[manual::linkme::distributed_slice(manual::FUNCTIONS)]
#[linkme(crate = rustyray::manual::linkme)]
static SUMMARISE: Function = Function::new(
    concat!(module_path!(), "::summarise"),
    concat!(file!(), ":", line!(), ":", column!()),
    |call| {
        let flights = call.arg::<View<Flights>, _>("flights")?;
        let by = call.arg::<By, _>("by")?;
        let group = call.arg::<u16, _>("group")?;
        let resamples = call.arg::<u32, _>("resamples")?;
        call.finish(Plain(summarise(flights, by, group, resamples)))
    },
);

pub async fn remote_summarise(
    flights: impl IntoArg<View<Flights>>,
    by: impl IntoArg<By>,
    group: impl IntoArg<u16>,
    resamples: impl IntoArg<u32>,
) -> Result<ObjectRef<Summary>> {
    manual::submit(&SUMMARISE, &TaskOptions::new(), |arguments| {
        arguments.push::<View<Flights>, _>("flights", flights)?;
        arguments.push::<By, _>("by", by)?;
        arguments.push::<u16, _>("group", group)?;
        arguments.push::<u32, _>("resamples", resamples)
    })
    .await
}

pub struct Report {
    rows: BTreeMap<u16, Summary>,
    total: Tally,
}

impl Report {
    pub fn new() -> Self {
        Report { rows: BTreeMap::new(), total: Tally::default() }
    }

    pub fn fold(&mut self, group: u16, summary: Summary) {
        self.total.merge(&summary.tally);
        self.rows.insert(group, summary);
    }

    pub fn rows(&self) -> Vec<(u16, Summary)> {
        self.rows.iter().map(|(group, summary)| (*group, *summary)).collect()
    }

    pub fn total(&self) -> Tally {
        self.total
    }
}

#[manual::linkme::distributed_slice(manual::ACTORS)]
#[linkme(crate = rustyray::manual::linkme)]
static REPORT: ActorClass = ActorClass::new(
    concat!(module_path!(), "::Report"),
    concat!(file!(), ":", line!(), ":", column!()),
    &[Constructor::new("new", |call| Residence::<Report>::construct(call, Plain(Report::new())))],
    &[
        Method::new("fold", |call| {
            let group = call.arg::<u16, _>("group")?;
            let summary = call.arg::<Summary, _>("summary")?;
            call.exclusive(move |report: &mut Report| {
                report.fold(group, summary);
                Plain(())
            })
        })
        .exclusive(),
        Method::new("rows", |call| call.shared(|report: &Report| Plain(report.rows()))).threaded(),
        Method::new("total", |call| call.shared(|report: &Report| Plain(report.total())))
            .threaded(),
    ],
);

impl Report {
    pub async fn remote() -> Result<ReportHandle> {
        let constructor = const { REPORT.constructor("new") };
        manual::create(&REPORT, constructor, &ActorOptions::new(), |_| Ok(()))
            .await
            .map(ReportHandle)
    }
}

#[derive(Clone, Debug)]
pub struct ReportHandle(ActorHandle<Report>);

impl ReportHandle {
    pub async fn fold(
        &self,
        group: impl IntoArg<u16>,
        summary: impl IntoArg<Summary>,
    ) -> Result<ObjectRef<()>> {
        self.0
            .call(const { REPORT.method("fold") }, |arguments| {
                arguments.push::<u16, _>("group", group)?;
                arguments.push::<Summary, _>("summary", summary)
            })
            .await
    }

    pub async fn rows(&self) -> Result<ObjectRef<Vec<(u16, Summary)>>> {
        self.0.call(const { REPORT.method("rows") }, |_| Ok(())).await
    }

    pub async fn total(&self) -> Result<ObjectRef<Tally>> {
        self.0.call(const { REPORT.method("total") }, |_| Ok(())).await
    }
}
