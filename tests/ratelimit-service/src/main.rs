//! A rate-limit service for tests: `envoy.service.ratelimit.v3` in front of Limitador's counters in Redis.
//!
//! `ratelimit-service ADDRESS REDIS DOMAIN REQUESTS SECONDS VARIABLE…` counts each descriptor with all of these entries
//! by their values. One request after another is decided: Limitador reads and writes in two steps, and what gateways add
//! up to is to be exact here.

use std::{collections::HashMap, time::Duration};

use anyhow::Context;
use envoy_types::pb::{
    envoy::service::ratelimit::v3::{
        RateLimitRequest, RateLimitResponse,
        rate_limit_response::{Code, DescriptorStatus},
        rate_limit_service_server::{RateLimitService, RateLimitServiceServer},
    },
    google::protobuf,
};
use limitador::{
    AsyncRateLimiter,
    limit::{Limit, Namespace},
    storage::redis::AsyncRedisStorage,
};
use tokio::sync::Mutex;
use tonic::{Request, Response, Status, transport::Server};

struct Service(Mutex<AsyncRateLimiter>);

#[tonic::async_trait]
impl RateLimitService for Service {
    async fn should_rate_limit(
        &self,
        request: Request<RateLimitRequest>,
    ) -> Result<Response<RateLimitResponse>, Status> {
        let RateLimitRequest { domain, descriptors, hits_addend } = request.into_inner();
        if domain.is_empty() || descriptors.is_empty() {
            return Err(Status::invalid_argument("no domain or no descriptor"));
        }
        let namespace = Namespace::from(domain);
        let limiter = self.0.lock().await;
        let mut statuses = Vec::new();
        for descriptor in descriptors {
            let hits = descriptor.hits_addend.map_or(u64::from(hits_addend), |own| own.value).max(1);
            let values: HashMap<_, _> = descriptor.entries.into_iter().map(|entry| (entry.key, entry.value)).collect();
            let hits = i64::try_from(hits).map_err(|_| Status::invalid_argument("hits_addend"))?;
            let result = limiter.check_rate_limited_and_update(&namespace, &values, hits, true).await;
            let result = result.map_err(|error| Status::unavailable(error.to_string()))?;
            let least = result.counters.iter().min_by_key(|counter| counter.remaining());
            statuses.push(DescriptorStatus {
                code: if result.limited { Code::OverLimit } else { Code::Ok }.into(),
                limit_remaining: least.and_then(|counter| u32::try_from(counter.remaining()?).ok()).unwrap_or_default(),
                duration_until_reset: least.and_then(|counter| counter.expires_in()).map(duration),
                ..DescriptorStatus::default()
            });
        }
        let is_over = statuses.iter().any(|status| status.code() == Code::OverLimit);
        let overall_code = if is_over { Code::OverLimit } else { Code::Ok }.into();
        Ok(Response::new(RateLimitResponse { overall_code, statuses, ..RateLimitResponse::default() }))
    }
}

fn duration(duration: Duration) -> protobuf::Duration {
    protobuf::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or_default(),
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, redis, domain, requests, seconds, variables @ ..] = arguments.as_slice() else {
        anyhow::bail!("ratelimit-service ADDRESS REDIS DOMAIN REQUESTS SECONDS VARIABLE…");
    };
    let storage = AsyncRedisStorage::new(redis).await.with_context(|| format!("no Redis at {redis}"))?;
    let limiter = AsyncRateLimiter::new_with_storage(Box::new(storage));
    let no_conditions = Vec::<String>::new();
    let limit = Limit::new(domain.as_str(), requests.parse()?, seconds.parse()?, no_conditions, variables);
    limiter.add_limit(limit);
    let service = RateLimitServiceServer::new(Service(Mutex::new(limiter)));
    Server::builder().add_service(service).serve(address.parse()?).await?;
    Ok(())
}
