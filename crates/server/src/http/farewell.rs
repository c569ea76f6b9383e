//! While the node drains, each answer over HTTP/1 is the last on its connection: the client, or the balancer, brings its next
//! request elsewhere, and none is on its way when the node ends. (HTTP/2 has a word of its own for that, and hyper says it.)

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Version, header};
use axum::middleware::Next;
use axum::response::Response;

use crate::app::App;

/// Serves the request, and says that it was the last if the node drains by then.
pub(crate) async fn say(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let version = request.version();
    let mut response = next.run(request).await;
    if app.drain.has_begun() && version < Version::HTTP_2 {
        response.headers_mut().entry(header::CONNECTION).or_insert(HeaderValue::from_static("close"));
    }
    response
}
