//! `rustyray dashboard`: the node as a page in the browser.
//!
//! The page is part of the program: four files, no build step, nothing fetched from elsewhere. It is served on
//! loopback only and to whoever has the token that is printed: the first visit with it sets a cookie, and
//! everything else wants that cookie. A request under another host name is refused, so that a page elsewhere
//! cannot reach this one through a name of its own.
//!
//! The node is asked when a page asks, at most every [`FRESH`]; the page asks once a second while it is
//! visible.

mod sample;

use std::{
    io::Read,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use axum::{
    Router,
    extract::{Query, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use clap::Args;
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::signal::unix::{SignalKind, signal};

use self::sample::Sampler;
use crate::{exit::Failure, print, target::Target};

/// Where the page is served.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// The loopback port to serve at; 0 for any that is free
    #[arg(long, short, value_name = "PORT", default_value_t = 8265)]
    port: u16,
    #[command(flatten)]
    pub(crate) target: Target,
}

/// What all requests share.
struct Shared {
    sampler: Mutex<Sampler>,
    token: String,
    port: u16,
}

/// Runs the command.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let tokio = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::io("starting", &error))?;
    // Whether there is a node is said now, and not by an empty page.
    let sampler = Sampler::new(options.target.clone())?;
    tokio.block_on(serve(options, sampler))
}

async fn serve(options: &Options, sampler: Sampler) -> Result<(), Failure> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
    let listener = tokio::net::TcpListener::bind(address).await.map_err(|error| {
        Failure::with_help(
            format!("cannot serve at {address}: {error}"),
            "choose another port with `--port`, or 0 for any that is free",
        )
    })?;
    let failed = |error: std::io::Error| Failure::io("serving", &error);
    let port = listener.local_addr().map_err(failed)?.port();
    let token = token().map_err(failed)?;
    let url = format!("http://127.0.0.1:{port}/?token={token}");
    let shared = Arc::new(Shared { sampler: Mutex::new(sampler), token, port });
    let router = Router::new()
        .route("/", get(page))
        .route("/style.css", get(|| file("text/css", include_str!("style.css"))))
        .route("/app.js", get(|| file("text/javascript", include_str!("app.js"))))
        .route("/timeline.js", get(|| file("text/javascript", include_str!("timeline.js"))))
        .route("/api/state", get(state))
        .route("/api/logs", get(logs))
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), guard))
        .with_state(shared);
    if options.target.json {
        print::text(&format!("{}\n", serde_json::json!({ "url": url, "port": port })))?;
    } else {
        print::text(&format!("The dashboard is at\n\n    {url}\n\nCtrl-C ends it.\n"))?;
    }
    let mut interrupted = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminated = signal(SignalKind::terminate()).map_err(failed)?;
    tokio::select! {
        served = async { axum::serve(listener, router).await } => served.map_err(failed),
        _ = interrupted.recv() => Ok(()),
        _ = terminated.recv() => Ok(()),
    }
}

/// 128 random bits.
fn token() -> std::io::Result<String> {
    let mut bits = [0; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bits)?;
    Ok(bits.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Lets through who has the token and means this host.
async fn guard(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let names = ["127.0.0.1", "localhost", "[::1]"];
    if !names.iter().any(|name| host == Some(&format!("{name}:{}", shared.port))) {
        return (StatusCode::MISDIRECTED_REQUEST, "this is another host\n").into_response();
    }
    let shown = request
        .uri()
        .query()
        .and_then(|query| query.split('&').find_map(|part| part.strip_prefix("token=")));
    if shown == Some(&shared.token) && request.uri().path() == "/" {
        let cookie =
            format!("rustyray-{}={}; HttpOnly; SameSite=Strict; Path=/", shared.port, shared.token);
        let headers = [(header::SET_COOKIE, cookie), (header::LOCATION, "/".to_owned())];
        return (StatusCode::SEE_OTHER, headers).into_response();
    }
    if !is_known(request.headers(), &shared) {
        let what =
            "This page wants the token that `rustyray dashboard` printed: open that address.\n";
        return (StatusCode::UNAUTHORIZED, what).into_response();
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let policy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
                  img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn is_known(headers: &HeaderMap, shared: &Shared) -> bool {
    let wanted = format!("rustyray-{}={}", shared.port, shared.token);
    let cookies = headers.get(header::COOKIE).and_then(|cookies| cookies.to_str().ok());
    let has_cookie = cookies.is_some_and(|cookies| cookies.split("; ").any(|c| c == wanted));
    let bearer = headers.get(header::AUTHORIZATION).and_then(|bearer| bearer.to_str().ok());
    has_cookie || bearer.and_then(|bearer| bearer.strip_prefix("Bearer ")) == Some(&shared.token)
}

async fn page() -> Response {
    file("text/html; charset=utf-8", include_str!("page.html")).await
}

async fn file(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

/// All that the page shows.
async fn state(State(shared): State<Arc<Shared>>) -> Response {
    let sampled = tokio::task::spawn_blocking(move || shared.sampler.lock().state()).await;
    json(sampled.unwrap_or_else(|_| "{}".into()))
}

#[derive(Deserialize)]
struct Wanted {
    worker: Option<u32>,
    #[serde(default)]
    after: u64,
}

/// What workers wrote.
async fn logs(State(shared): State<Arc<Shared>>, Query(wanted): Query<Wanted>) -> Response {
    let read = move || shared.sampler.lock().logs(wanted.worker, wanted.after);
    json(tokio::task::spawn_blocking(read).await.unwrap_or_else(|_| "[]".into()))
}

fn json(text: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}
