//! bb8: a pool of connections that all follow the master.

use super::link::Following;
use super::{FollowOptions, FollowingConnection};
use crate::Resolver;
use redis::RedisError;
use std::fmt::{self, Debug};
use std::sync::Arc;

/// Makes connections to the master for a [`bb8::Pool`].
///
/// Each is a [`FollowingConnection`] of its own, with a socket of its own; all of them share one watch. When the master
/// has moved they are broken: whatever is in the pool is thrown away, whatever is in use follows by itself.
///
/// ```no_run
/// use consentinel_resolver::{FollowOptions, Manager, Resolver};
/// use redis::AsyncCommands;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let resolver = Resolver::builder("redis.service.consul").build()?;
/// let pool = bb8::Pool::builder().max_size(20).build(Manager::new(&resolver, &FollowOptions::new())).await?;
/// let mut connection = pool.get().await?;
/// let visits: i64 = connection.incr("visits", 1).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Manager(Arc<Following>);

impl Manager {
    /// Begins to watch. In a tokio runtime.
    ///
    /// ```no_run
    /// # use consentinel_resolver::{FollowOptions, Manager, Resolver};
    /// # async fn example(resolver: Resolver) {
    /// let manager = Manager::new(&resolver, &FollowOptions::new());
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn new(resolver: &Resolver, options: &FollowOptions) -> Manager {
        Manager(Following::start(resolver, options))
    }
}

impl Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manager").field("name", &self.0.follower.resolver.name()).finish_non_exhaustive()
    }
}

impl bb8::ManageConnection for Manager {
    type Connection = FollowingConnection;
    type Error = RedisError;

    async fn connect(&self) -> Result<FollowingConnection, RedisError> {
        FollowingConnection::with_own_link(self.0.clone()).await
    }

    async fn is_valid(&self, connection: &mut FollowingConnection) -> Result<(), RedisError> {
        redis::cmd("PING").query_async(connection).await
    }

    /// Whether its connection is lost or cut, or retired after a refusal; and so also when the master has moved.
    fn has_broken(&self, connection: &mut FollowingConnection) -> bool {
        connection.slot.usable().is_none()
    }
}
