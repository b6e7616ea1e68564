//! The pods of this node, by address: who is behind a connection. Filled by who watches the cluster.

use sluice_engine::sender::{Pod, Sender};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// A new pod's first connection may arrive before the watch tells of the pod.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// For so long an address that was nobody's is not waited for again.
const UNKNOWN_FOR: Duration = Duration::from_secs(60);

#[derive(Clone)]
pub struct PodTable(Arc<Shared>);

struct Shared {
    pods: RwLock<Pods>,
    changed: watch::Sender<u64>,
    unknown_peers: AtomicU64,
    /// Addresses that were waited for in vain, and since when.
    unknown: Mutex<HashMap<IpAddr, Instant>>,
}

#[derive(Default)]
struct Pods {
    by_uid: HashMap<String, (Vec<IpAddr>, Arc<Pod>)>,
    by_ip: HashMap<IpAddr, Arc<Pod>>,
    /// Other UIDs of pods, as log folders of mirror pods have them.
    aliases: HashMap<String, String>,
}

impl Default for PodTable {
    fn default() -> Self {
        Self(Arc::new(Shared {
            pods: RwLock::default(),
            changed: watch::channel(0).0,
            unknown_peers: AtomicU64::new(0),
            unknown: Mutex::default(),
        }))
    }
}

impl PodTable {
    /// `addresses` is empty for a pod that shares its node's network: its address proves nothing.
    pub fn put(&self, pod: Pod, addresses: Vec<IpAddr>) {
        self.change(|pods| {
            pods.remove(&pod.uid);
            let pod = Arc::new(pod);
            for address in &addresses {
                pods.by_ip.insert(*address, Arc::clone(&pod));
            }
            pods.by_uid.insert(pod.uid.clone(), (addresses, pod));
        });
    }

    /// Another UID of the same pod; forgotten with it.
    pub fn alias(&self, alias: String, uid: String) {
        self.change(|pods| drop(pods.aliases.insert(alias, uid)));
    }

    pub fn remove(&self, uid: &str) {
        self.change(|pods| pods.remove(uid));
    }

    /// Only these are left (after a watch began anew).
    pub fn retain(&self, uids: &std::collections::HashSet<String>) {
        self.change(|pods| {
            let gone: Vec<String> =
                pods.by_uid.keys().filter(|uid| !uids.contains(*uid)).cloned().collect();
            gone.iter().for_each(|uid| pods.remove(uid));
        });
    }

    pub fn by_uid(&self, uid: &str) -> Option<Arc<Pod>> {
        let pods = self.0.pods.read().unwrap_or_else(PoisonError::into_inner);
        let uid = pods.aliases.get(uid).map_or(uid, String::as_str);
        pods.by_uid.get(uid).map(|(_, pod)| Arc::clone(pod))
    }

    pub fn by_ip(&self, address: IpAddr) -> Option<Arc<Pod>> {
        let pods = self.0.pods.read().unwrap_or_else(PoisonError::into_inner);
        pods.by_ip.get(&address.to_canonical()).cloned()
    }

    /// Changes whenever a pod comes, changes or goes.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changed.subscribe()
    }

    /// Connections whose peer was nobody that is known.
    pub fn unknown_peers(&self) -> u64 {
        self.0.unknown_peers.load(Ordering::Relaxed)
    }

    /// Who is behind an address; waits up to five seconds for a pod that is not known yet, once a
    /// minute for each address.
    pub async fn resolve(&self, address: IpAddr) -> Sender {
        let found = match self.by_ip(address) {
            None if !self.is_unknown(address) => self.wait_for(address).await,
            found => found,
        };
        found.map_or_else(
            || {
                self.0.unknown_peers.fetch_add(1, Ordering::Relaxed);
                Sender::Unknown
            },
            Sender::Pod,
        )
    }

    async fn wait_for(&self, address: IpAddr) -> Option<Arc<Pod>> {
        let mut changes = self.changes();
        let found = async {
            loop {
                if let Some(pod) = self.by_ip(address) {
                    return Some(pod);
                }
                changes.changed().await.ok()?;
            }
        };
        let found = tokio::time::timeout(WAIT_MAX, found).await.ok().flatten();
        if found.is_none() {
            self.unknown().insert(address, Instant::now());
        }
        found
    }

    fn is_unknown(&self, address: IpAddr) -> bool {
        let mut unknown = self.unknown();
        unknown.retain(|_, since| since.elapsed() < UNKNOWN_FOR);
        unknown.contains_key(&address)
    }

    fn unknown(&self) -> MutexGuard<'_, HashMap<IpAddr, Instant>> {
        self.0.unknown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Pods)) {
        change(&mut self.0.pods.write().unwrap_or_else(PoisonError::into_inner));
        self.0.changed.send_modify(|count| *count += 1);
    }
}

impl Pods {
    fn remove(&mut self, uid: &str) {
        let Some((addresses, _)) = self.by_uid.remove(uid) else { return };
        self.aliases.retain(|_, known| known != uid);
        for address in addresses {
            // The address may already be another pod's.
            if self.by_ip.get(&address).is_some_and(|pod| pod.uid == uid) {
                self.by_ip.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(uid: &str) -> Pod {
        Pod { uid: uid.into(), namespace: "shop".into(), ..Pod::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_is_known_once_its_pod_is() {
        let table = PodTable::default();
        let address: IpAddr = "10.1.0.7".parse().unwrap();
        let (sender, ()) = tokio::join!(table.resolve(address), async {
            tokio::time::sleep(Duration::from_secs(4)).await;
            table.put(pod("a"), vec![address]);
        });
        assert!(matches!(sender, Sender::Pod(pod) if pod.uid == "a"));
        assert_eq!(table.unknown_peers(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn after_five_seconds_a_peer_is_unknown() {
        let table = PodTable::default();
        let before = tokio::time::Instant::now();
        assert_eq!(table.resolve("10.1.0.7".parse().unwrap()).await, Sender::Unknown);
        assert_eq!(before.elapsed(), WAIT_MAX);
        assert_eq!(table.unknown_peers(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_unknown_peer_waits_once_a_minute() {
        let table = PodTable::default();
        let address: IpAddr = "10.1.0.7".parse().unwrap();
        let began = tokio::time::Instant::now();
        for _ in 0..3 {
            table.resolve(address).await;
        }
        assert_eq!(began.elapsed(), WAIT_MAX);
        tokio::time::advance(UNKNOWN_FOR).await;
        table.resolve(address).await;
        assert_eq!(began.elapsed(), WAIT_MAX + UNKNOWN_FOR + WAIT_MAX);
        assert_eq!(table.unknown_peers(), 4);
    }

    #[test]
    fn a_reused_address_belongs_to_the_newer_pod() {
        let table = PodTable::default();
        let address: IpAddr = "10.1.0.7".parse().unwrap();
        table.put(pod("old"), vec![address]);
        table.put(pod("new"), vec![address]);
        table.remove("old");
        assert_eq!(table.by_ip(address).unwrap().uid, "new");
        assert!(table.by_ip("::ffff:10.1.0.7".parse().unwrap()).is_some());
    }
}
