//! Reading what Consul holds, and meddling with it.

use super::{Consul, PATIENCE};
use crate::eventually;
use crate::http::{self, Answer};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

/// For one answer.
const MOMENT: Duration = Duration::from_secs(5);

impl Consul {
    /// One request with the lab's token; nothing when nobody answers.
    pub fn request(&self, method: &str, path: &str, body: &Value) -> Option<Answer> {
        self.request_as(self.token.as_deref(), method, path, body)
    }

    /// The same, with any token or none.
    pub fn request_as(&self, token: Option<&str>, method: &str, path: &str, body: &Value) -> Option<Answer> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        http::request(self.http(), MOMENT, method, path, token, &body).ok()
    }

    /// What GET answers; nothing when it is refused or nobody answers.
    pub fn get(&self, path: &str) -> Option<Value> {
        let answer = self.request("GET", path, &Value::Null).filter(Answer::is_good)?;
        serde_json::from_str(&answer.body).ok()
    }

    /// PUT, which must be done.
    pub fn put(&self, path: &str, body: &Value) -> Value {
        let answer = self.request("PUT", path, body).expect("Consul answers");
        assert!(answer.is_good(), "PUT {path} {body}: {answer:?}");
        serde_json::from_str(&answer.body).unwrap_or(Value::Null)
    }

    /// DELETE, which must be done.
    pub fn delete(&self, path: &str) {
        let answer = self.request("DELETE", path, &Value::Null).expect("Consul answers");
        assert!(answer.is_good(), "DELETE {path}: {answer:?}");
    }

    /// The address of the servers' leader, as servers reach each other.
    pub fn leader(&self) -> Option<String> {
        let leader = self.get("/v1/status/leader")?;
        leader.as_str().filter(|leader| !leader.is_empty()).map(str::to_owned)
    }

    /// Whether a write is answered. Where ACLs are on, it is enough that they are.
    pub(super) fn takes_writes(&self) -> bool {
        self.leader().is_some()
            && self
                .request("PUT", "/v1/kv/lab/alive", &json!("x"))
                .is_some_and(|answer| answer.is_good() || answer.status == 403)
    }

    /// What stands under a key, with its version.
    pub fn kv(&self, key: &str) -> Option<(String, u64)> {
        let path = format!("/v1/kv/{}", http::escape(key));
        let index = self.get(&path)?[0]["ModifyIndex"].as_u64()?;
        let raw = self.request("GET", &(path + "?raw"), &Value::Null).filter(Answer::is_good)?;
        Some((raw.body, index))
    }

    /// What stands under a key, as JSON.
    pub fn kv_json(&self, key: &str) -> Option<Value> {
        serde_json::from_str(&self.kv(key)?.0).ok()
    }

    /// Puts something under a key.
    pub fn put_kv(&self, key: &str, value: &Value) {
        self.put(&format!("/v1/kv/{}", http::escape(key)), value);
    }

    /// Takes a key away.
    pub fn delete_kv(&self, key: &str) {
        self.delete(&format!("/v1/kv/{}", http::escape(key)));
    }

    /// All entries of a service with their nodes and checks, as `/v1/health/service` says.
    pub fn entries(&self, service: &str) -> Vec<Value> {
        let entries = self.get(&format!("/v1/health/service/{}", http::escape(service)));
        entries.and_then(|entries| entries.as_array().cloned()).unwrap_or_default()
    }

    /// The ports of all entries of a service.
    pub fn ports_of(&self, service: &str) -> BTreeSet<u16> {
        self.entries(service).iter().filter_map(|entry| port_of(&entry["Service"])).collect()
    }

    /// The names of all nodes of the catalog.
    pub fn nodes(&self) -> BTreeSet<String> {
        let nodes = self.get("/v1/catalog/nodes").unwrap_or_default();
        let nodes = nodes.as_array().into_iter().flatten();
        nodes.filter_map(|node| Some(node["Node"].as_str()?.to_owned())).collect()
    }

    /// Takes a node with all that is on it out of the catalog, or one service of it.
    pub fn deregister(&self, node: &str, service_id: Option<&str>) {
        let mut what = json!({ "Node": node });
        if let Some(id) = service_id {
            what["ServiceID"] = id.into();
        }
        self.put("/v1/catalog/deregister", &what);
    }

    /// Takes away every key, and every node that no agent runs on.
    pub fn wipe(&self) {
        self.delete("/v1/kv/?recurse");
        for node in self.nodes().into_iter().filter(|node| !node.starts_with("agent-")) {
            self.deregister(&node, None);
        }
    }

    /// The sessions that live.
    pub fn sessions(&self) -> Vec<Value> {
        let sessions = self.get("/v1/session/list").unwrap_or_default();
        sessions.as_array().cloned().unwrap_or_default()
    }

    /// Makes a token with one policy.
    pub fn token_with(&self, name: &str, rules: &str) -> String {
        self.put("/v1/acl/policy", &json!({ "Name": name, "Rules": rules }));
        let token = json!({ "Description": name, "Policies": [{ "Name": name }] });
        let token = self.put("/v1/acl/token", &token);
        token["SecretID"].as_str().expect("a token has a secret").to_owned()
    }

    /// Changes the rules of a policy.
    pub fn change_policy(&self, name: &str, rules: &str) {
        let policy = self.get(&format!("/v1/acl/policy/name/{name}")).unwrap_or_else(|| {
            let policies = self.get("/v1/acl/policies").unwrap_or_default();
            let mut policies = policies.as_array().cloned().unwrap_or_default().into_iter();
            policies.find(|policy| policy["Name"] == name).expect("the policy is there")
        });
        let id = policy["ID"].as_str().expect("a policy has an id");
        self.put(&format!("/v1/acl/policy/{id}"), &json!({ "ID": id, "Name": name, "Rules": rules }));
    }

    /// Takes a token away, by its secret.
    pub fn revoke(&self, secret: &str) {
        let answer = self.request_as(Some(secret), "GET", "/v1/acl/token/self", &Value::Null);
        let token: Value = serde_json::from_str(&answer.expect("Consul answers").body).expect("a token");
        self.delete(&format!("/v1/acl/token/{}", token["AccessorID"].as_str().expect("it has an accessor")));
    }

    /// The token that the agent uses where nobody gives one, as for DNS.
    pub fn set_default_token(&self, secret: &str) {
        self.put("/v1/agent/token/default", &json!({ "Token": secret }));
    }

    /// Becomes the management, and lets the agent keep up its own entry.
    pub(super) fn bootstrap(&mut self) {
        let token = eventually("the ACLs are on", PATIENCE, || {
            let answer = self.request("PUT", "/v1/acl/bootstrap", &Value::Null).filter(Answer::is_good)?;
            serde_json::from_str::<Value>(&answer.body).ok()
        });
        self.token = token["SecretID"].as_str().map(str::to_owned);
        let rules = format!("node \"{}\" {{ policy = \"write\" }}", self.name);
        let secret = self.token_with(&format!("of-{}", self.name), &rules);
        self.put("/v1/agent/token/agent", &json!({ "Token": secret }));
    }
}

fn port_of(service: &Value) -> Option<u16> {
    service["Port"].as_u64().and_then(|port| u16::try_from(port).ok())
}
