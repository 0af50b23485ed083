//! One client for the whole run: every call has a deadline, and none is repeated behind the caller's back.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::{ClusterResourceScope, NamespaceResourceScope};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, Resource};
use secrecy::ExposeSecret;

use crate::bao::install_crypto;
use crate::platform::{Error, Result};

/// The longest that one call to the API may take. Port-forwards and execs have deadlines of their own.
const DEADLINE: Duration = Duration::from_secs(20);
/// The longest that a connection to the API server may take.
const CONNECT: Duration = Duration::from_secs(10);
/// The namespace whose uid names the cluster.
const SYSTEM: &str = "kube-system";

/// A cluster with the namespace of the release. Clones share their connections.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    context: Arc<str>,
    namespace: Arc<str>,
    /// When the kubeconfig's token expires, where that can be known.
    expires: Option<Timestamp>,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Cluster")
            .field("context", &self.context)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

impl Cluster {
    /// Reads the kubeconfig (`None`: as `kubectl` finds it) and takes the named context, else its current one.
    ///
    /// A proxy is used only when the kubeconfig's cluster names one, never because of the environment.
    pub async fn connect(
        kubeconfig: Option<&Path>,
        context: Option<&str>,
        namespace: &str,
    ) -> Result<Self> {
        install_crypto();
        let refused = |why: String| Error::Refused(why);
        let file = match kubeconfig {
            Some(path) => Kubeconfig::read_from(path),
            None => Kubeconfig::read(),
        }
        .map_err(|error| {
            refused(format!(
                "the kubeconfig cannot be used: {}; name one with --kubeconfig",
                chain(&error)
            ))
        })?;
        let Some(context) = context.map(str::to_owned).or(file.current_context.clone()) else {
            return Err(refused(
                "the kubeconfig has no current context; name one with --context".to_owned(),
            ));
        };
        let known = |name: &str| file.contexts.iter().any(|it| it.name == name);
        if !known(&context) {
            let names: Vec<&str> = file.contexts.iter().map(|it| it.name.as_str()).collect();
            return Err(refused(format!(
                "the kubeconfig has no context {context:?}; it has: {}",
                names.join(", ")
            )));
        }
        let proxied = names_a_proxy(&file, &context);
        let expires = expiry(&file, &context);
        let options = KubeConfigOptions {
            context: Some(context.clone()),
            ..KubeConfigOptions::default()
        };
        let mut config = Config::from_custom_kubeconfig(file, &options)
            .await
            .map_err(|error| {
                refused(format!(
                    "the context {context:?} of the kubeconfig cannot be used: {}",
                    chain(&error)
                ))
            })?;
        config.default_retry = false;
        config.connect_timeout = Some(CONNECT);
        if !proxied {
            config.proxy_url = None;
        }
        let client = Client::try_from(config)
            .map_err(|error| failed(&format!("connecting to context {context:?}"), &error))?;
        Ok(Self {
            expires,
            ..Self::new(client, &context, namespace)
        })
    }

    /// A cluster behind a client that is there already.
    pub fn new(client: Client, context: &str, namespace: &str) -> Self {
        Self {
            client,
            context: context.into(),
            namespace: namespace.into(),
            expires: None,
        }
    }

    /// When the token that this client sends expires; `None` where it does not say, or is renewed by a program.
    pub const fn expires(&self) -> Option<Timestamp> {
        self.expires
    }

    /// The kubeconfig context's name.
    pub fn context(&self) -> &str {
        &self.context
    }

    /// The release's namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The client itself, for what has no typed API.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// The objects of a kind in the release's namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The objects of a kind that belongs to no namespace.
    pub fn all<K>(&self) -> Api<K>
    where
        K: Resource<Scope = ClusterResourceScope>,
        K::DynamicType: Default,
    {
        Api::all(self.client.clone())
    }

    /// The uid of `kube-system`; where that may not be read, the one of the release's namespace.
    pub async fn uid(&self) -> Result<String> {
        match self.uid_of(SYSTEM).await {
            Err(Error::Cluster {
                status: Some(403 | 404),
                ..
            }) => self.uid_of(&self.namespace).await,
            other => other,
        }
    }

    async fn uid_of(&self, namespace: &str) -> Result<String> {
        let doing = format!("reading namespace {namespace}");
        let found = call(&doing, self.all::<Namespace>().get(namespace)).await?;
        found.metadata.uid.ok_or_else(|| Error::Cluster {
            doing,
            why: "the answer has no uid".to_owned(),
            status: None,
        })
    }
}

/// When the token of a context expires: the `exp` of a JWT (RFC 7519), which is not verified here.
fn expiry(file: &Kubeconfig, context: &str) -> Option<Timestamp> {
    let named = file.contexts.iter().find(|it| it.name == context)?;
    let user = named.context.as_ref()?.user.as_deref()?;
    let auth = file.auth_infos.iter().find(|it| it.name == user)?;
    let token = auth.auth_info.as_ref()?.token.as_ref()?;
    let claims = token.expose_secret().split('.').nth(1)?;
    let claims = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(claims).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&claims).ok()?;
    Timestamp::from_second(claims["exp"].as_i64()?).ok()
}

/// Whether the kubeconfig itself sends a context's cluster through a proxy.
fn names_a_proxy(file: &Kubeconfig, context: &str) -> bool {
    let named = file.contexts.iter().find(|it| it.name == context);
    let cluster = named.and_then(|it| it.context.as_ref());
    file.clusters.iter().any(|it| {
        cluster.is_some_and(|cluster| cluster.cluster == it.name)
            && it
                .cluster
                .as_ref()
                .and_then(|cluster| cluster.proxy_url.as_deref())
                .is_some_and(|url| !url.is_empty())
    })
}

/// Makes one call to the API under the deadline. `doing` names it, for example `reading pod openbao-0`.
pub fn call<T, D, F>(doing: D, future: F) -> impl Future<Output = Result<T>> + use<T, D, F>
where
    D: AsRef<str>,
    F: Future<Output = kube::Result<T>>,
{
    within(doing.as_ref(), DEADLINE, future)
}

/// The same with a deadline of the caller's.
pub(super) fn within<T, F>(
    doing: &str,
    deadline: Duration,
    future: F,
) -> impl Future<Output = Result<T>> + use<T, F>
where
    F: Future<Output = kube::Result<T>>,
{
    // The client's futures are large, and each caller would be as large as all of its calls.
    let answer = tokio::time::timeout(deadline, Box::pin(future));
    let doing = doing.to_owned();
    async move {
        match answer.await {
            Ok(answer) => answer.map_err(|error| failed(&doing, &error)),
            Err(_) => Err(Error::Cluster {
                doing,
                why: format!(
                    "no answer from the API server within {}s; see whether `kubectl get --raw /readyz` answers",
                    deadline.as_secs()
                ),
                status: None,
            }),
        }
    }
}

/// Turns "not found" into `None`.
pub fn absent_ok<T>(answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Err(Error::Cluster {
            status: Some(404), ..
        }) => Ok(None),
        answer => answer.map(Some),
    }
}

/// A creation, which is as good when the object is there already: a call whose answer was lost has made it.
pub(super) fn there_ok<T>(answer: Result<T>) -> Result<()> {
    match answer {
        Err(Error::Cluster {
            status: Some(409), ..
        }) => Ok(()),
        answer => answer.map(drop),
    }
}

/// What a failed call means to the operator.
pub(super) fn failed(doing: &str, error: &kube::Error) -> Error {
    use kube::client::UpgradeConnectionError::ProtocolSwitch;
    let (why, status) = match error {
        kube::Error::Api(status) => (
            said(status.code, &status.message, &status.reason),
            Some(status.code).filter(|code| *code > 0),
        ),
        kube::Error::Auth(error) => (
            format!(
                "the kubeconfig's credentials cannot be used: {}; log in again, then resume",
                chain(error)
            ),
            Some(401),
        ),
        kube::Error::UpgradeConnection(ProtocolSwitch(code)) => (
            said(code.as_u16(), "the stream was refused", ""),
            Some(code.as_u16()),
        ),
        kube::Error::SerdeError(_) | kube::Error::BuildRequest(_) => {
            // Another try gives the same.
            return Error::Refused(format!("{doing}: unexpected answer: {}", chain(error)));
        }
        error => (
            format!("the API server cannot be reached: {}", chain(error)),
            None,
        ),
    };
    Error::Cluster {
        doing: doing.to_owned(),
        why,
        status,
    }
}

fn said(code: u16, message: &str, reason: &str) -> String {
    let words = if message.is_empty() { reason } else { message };
    match code {
        401 => format!("{words}: the credentials of the context are not accepted; log in again"),
        403 => match missing_right(message) {
            Some(right) => format!("{words}; grant the right to {right}"),
            None => format!("{words}; the credentials of the context lack a right"),
        },
        409 => format!("{words} (409)"),
        429 => format!("{words}: the API server is overloaded (429)"),
        code if code >= 500 => format!("{words} (the API server's {code})"),
        _ => words.to_owned(),
    }
}

/// `verb resources (group) in namespace n`, out of the API server's sentence.
fn missing_right(message: &str) -> Option<String> {
    let rest = message.split_once(" cannot ")?.1;
    let (verb, rest) = rest.split_once(" resource \"")?;
    let (resource, rest) = rest.split_once('"')?;
    let group = quoted_after(rest, "in API group \"").filter(|group| !group.is_empty());
    let mut right = format!("`{verb}` `{resource}`");
    if let Some(group) = group {
        right.push_str(" of ");
        right.push_str(group);
    }
    if let Some(namespace) = quoted_after(rest, "in the namespace \"") {
        right.push_str(" in namespace ");
        right.push_str(namespace);
    }
    Some(right)
}

fn quoted_after<'text>(text: &'text str, before: &str) -> Option<&'text str> {
    let rest = text.split_once(before)?.1;
    Some(rest.split_once('"')?.0)
}

/// An error with its reasons, each said once.
pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let reason = inner.to_string();
        if !text.contains(&reason) {
            text.push_str(": ");
            text.push_str(&reason);
        }
        source = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_right_that_is_missing() {
        let message = "pods \"openbao-0\" is forbidden: User \"me\" cannot create resource \"pods/exec\" in API group \"\" in the namespace \"bao\"";
        let why = said(403, message, "Forbidden");
        assert!(
            why.ends_with("grant the right to `create` `pods/exec` in namespace bao"),
            "{why}"
        );
        let message = "x is forbidden: User \"me\" cannot patch resource \"statefulsets\" in API group \"apps\" in the namespace \"bao\"";
        assert_eq!(
            missing_right(message).unwrap(),
            "`patch` `statefulsets` of apps in namespace bao"
        );
        assert!(missing_right("denied by a webhook").is_none());
    }

    #[test]
    fn an_answer_tells_whether_another_look_may_help() {
        let answer = |code: u16| {
            let status = kube::core::Status {
                code,
                message: "words".to_owned(),
                ..kube::core::Status::default()
            };
            failed("looking", &kube::Error::Api(Box::new(status)))
        };
        for code in [429, 500, 503, 504] {
            assert!(answer(code).is_transient(), "{code}");
        }
        for code in [401, 403, 404, 409, 422] {
            assert!(!answer(code).is_transient(), "{code}");
            assert_eq!(answer(code).status(), Some(code));
        }
        assert!(absent_ok::<()>(Err(answer(404))).unwrap().is_none());
        assert!(absent_ok::<()>(Err(answer(403))).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_without_an_answer_ends() {
        let error = call("looking", std::future::pending::<kube::Result<()>>())
            .await
            .unwrap_err();
        assert!(error.is_transient());
        assert!(error.to_string().contains("within 20s"), "{error}");
    }

    const KUBECONFIG: &str = "
apiVersion: v1
kind: Config
current-context: one
clusters:
- {name: c, cluster: {server: 'http://127.0.0.1:1'}}
contexts:
- {name: one, context: {cluster: c, user: u}}
- {name: two, context: {cluster: c, user: u}}
users:
- {name: u, user: {}}
";

    #[tokio::test]
    async fn the_context_has_a_name_even_when_none_was_given() {
        let work = tempfile::tempdir().unwrap();
        let path = work.path().join("kubeconfig");
        std::fs::write(&path, KUBECONFIG).unwrap();
        let by = |context| Cluster::connect(Some(&path), context, "bao");
        assert_eq!(by(None).await.unwrap().context(), "one");
        assert_eq!(by(Some("two")).await.unwrap().context(), "two");
        let error = by(Some("three")).await.unwrap_err().to_string();
        assert!(error.contains("it has: one, two"), "{error}");
        let absent = by(None).await.unwrap().uid().await.unwrap_err();
        assert!(absent.is_transient(), "{absent}");
    }
}
