//! The HTTP service.

mod settings;
pub use settings::{ApiKey, Settings, Timeouts};

use crate::detector::Detector;
use std::{
    future::Future,
    net::{SocketAddr, TcpListener},
};

/// Whatever makes loading the detector fail.
pub type LoadError = Box<dyn std::error::Error + Send + Sync>;

/// Why the service ended other than by being told to.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The address is taken, not ours, or no address.
    #[error("the service cannot start: {0}")]
    Start(#[from] std::io::Error),
    /// The detector could not be loaded.
    #[error("{0}")]
    Load(LoadError),
}

/// Done at the first Ctrl-C or, on Unix, SIGTERM.
pub async fn signals() {}

/// A service that holds its address and does not answer yet.
#[derive(Debug)]
pub struct Server(TcpListener);

impl Server {
    /// Takes the address.
    pub fn bind(settings: Settings) -> Result<Self, ServiceError> {
        Ok(Self(TcpListener::bind(settings.listen)?))
    }

    /// The address taken.
    pub fn local_addr(&self) -> Result<SocketAddr, ServiceError> {
        Ok(self.0.local_addr()?)
    }

    /// Loads, serves until `shutdown` is done, drains.
    pub fn run<L, E>(self, load: L, _shutdown: impl Future<Output = ()>) -> Result<(), ServiceError>
    where
        L: FnOnce() -> Result<Detector, E> + Send + 'static,
        E: Into<LoadError>,
    {
        load().map(drop).map_err(|error| ServiceError::Load(error.into()))
    }
}
