//! Why a condition is as it is: each reason with its meaning and the remedy.

macro_rules! catalogue {
    ($($name:ident $doc:literal, $remedy:literal;)*) => {
        /// A condition's reason, as it stands in status.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason {
            $(#[doc = $doc] $name,)*
        }

        impl Reason {
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            /// What it means, for users.
            pub fn doc(self) -> &'static str {
                match self {
                    $(Self::$name => $doc,)*
                }
            }

            /// What to do about it; empty when nothing has to be done.
            pub fn remedy(self) -> &'static str {
                match self {
                    $(Self::$name => $remedy,)*
                }
            }
        }
    };
}

catalogue! {
    Reconciled
        "The agents run this generation.",
        "";
    Paused
        "Changes are not applied; telemetry flows on with the last version.",
        "Set `spec.paused` to false (or `spec.managementState` to Managed) to go on.";
    NoEligibleNodes
        "No node matches the agent's nodeSelector and tolerations, so there is nothing to run.",
        "Label a node, or change `spec.agent.nodeSelector`.";
    Progressing
        "The operator works on this generation.",
        "Wait; if it lasts, the condition Stalled says why.";
    RollingOut
        "Agents are being given this generation.",
        "Wait.";
    WaitingForAgents
        "No agent has reported yet that it runs this generation.",
        "Wait; if it lasts, look at the agents: `kubectl get pods -l \
        app.kubernetes.io/name=sluice-agent -A`.";
    ProgressDeadlineExceeded
        "The generation was not running everywhere within the deadline.",
        "Look at the agents that are not ready: `kubectl describe pods -l \
        app.kubernetes.io/name=sluice-agent -A`.";
    InvalidSpec
        "A field of the object has a mistake; the last good version runs on.",
        "Correct the field that the message names.";
    RefNotPermitted
        "The object uses what only objects of the system namespace may use.",
        "Remove the field that the message names, or move the object to the system namespace.";
    CollectorNotFound
        "The Collector that the object names does not exist.",
        "Create it, or change `spec.collectorRef`.";
    DestinationNotFound
        "A Destination that the pipeline names does not exist.",
        "Create it, or correct name and namespace in `destinationRefs`.";
    DestinationNotAllowed
        "A Destination that the pipeline names does not admit its namespace.",
        "Ask its owner to select this namespace in `spec.allowedNamespaces`, or use another \
        Destination.";
    DestinationInvalid
        "A Destination that the pipeline names has a mistake itself.",
        "Look at that Destination's conditions and correct it.";
    UnsupportedSignal
        "A Destination cannot carry the signal that is sent to it.",
        "Send the signal to another Destination (type Tempo takes traces only).";
    TargetNotFound
        "What the policy targets does not exist.",
        "Create it, or correct kind and name in `spec.targetRefs`.";
    Disabled
        "The policy is switched off: it is as if it were not there.",
        "Set `spec.mode` to Enforce or DryRun to use it.";
    SecretMissing
        "A Secret that is named does not exist.",
        "Create the Secret that the message names, in the same namespace.";
    SecretKeyMissing
        "A Secret lacks the key that is named.",
        "Add the key to the Secret, or correct the key's name.";
    SecretAccessDenied
        "Agents may not read the Secret.",
        "Apply the Role and RoleBinding that the message prints (`sluice render --rbac` prints \
        them too).";
    Unauthorized
        "The destination refuses the credentials.",
        "Renew the credentials in the Secret; agents read it again by themselves.";
    QuotaDenied
        "A quota of the namespace forbids what has to be created.",
        "Raise the ResourceQuota that the message names.";
    PermissionDenied
        "The operator may not create or change what has to be.",
        "Install the chart's RBAC again; the message names the verb and the resource.";
    RejectedByAgent
        "An agent refused the configuration and runs on with the last good one.",
        "Read the message; if the object is right, please report a bug.";
    Accepted
        "The object is understood and may run.",
        "";
    Programmed
        "At least 95 % of the reporting collectors run this generation.",
        "";
    PartiallyProgrammed
        "Only some agents run this generation; `status.adopted` counts them.",
        "Wait; if it lasts, look at the agents that do not report.";
    Overridden
        "Settings of another policy of the same fleet win over this one's; its rules are in force.",
        "Give the fields that the message names the same values in both policies, or leave it so.";
    DryRun
        "The policy is evaluated and counted, not applied.",
        "Read `status.dryRun`; set `spec.mode` to Enforce to apply it.";
    PolicyAffected
        "A sampling policy is in force here.",
        "";
    NoCollectors
        "No collector reports, so nothing runs this object.",
        "Look at the Collector's conditions.";
    FlowHealthy
        "All that is collected arrives.",
        "";
    NoTraffic
        "Nothing was sent to be collected, so nothing can fail.",
        "If that is a surprise, point an application's OTLP exporter to the endpoint in the \
        Collector's status.";
    AllDataDropped
        "Everything collected is lost.",
        "Look at the conditions of the destinations that the message names.";
    SomeDataDropped
        "A part of what is collected is lost; the metric `sluice_dropped_items_total` says why.",
        "Look at the destinations that the message names, or raise `delivery.queue.maxSize`.";
    BufferFillingUp
        "Data comes in faster than the destination takes it; soon some will be dropped.",
        "Look at the destination, or raise `delivery.queue.maxSize`.";
    Throttled
        "Senders are told to slow down.",
        "Raise the agent's memory, or let `delivery.onFull` drop.";
    DestinationUnreachable
        "A destination cannot be reached, or does not answer; data waits in the queue.",
        "Check that the destination runs, its endpoint, and network policies.";
    DestinationRejects
        "The destination refuses what is sent to it.",
        "Read the destination's answer in its condition Delivering.";
    StaleReports
        "Agents have not reported for a while, so this is not known.",
        "Look at the agents and at the operator; telemetry flows without it.";
    AllAvailable
        "Every pod that should run is ready.",
        "";
    RolloutInProgress
        "Pods are being started or replaced.",
        "Wait.";
    PodsCrashLooping
        "Pods start and die.",
        "Read their log: `kubectl logs -n sluice-system -l \
        app.kubernetes.io/name=sluice-agent --previous` (of gateways: `sluice-gateway`).";
    ImagePullFailed
        "The image cannot be pulled.",
        "Correct `spec.image`, or add a pull Secret.";
    OOMKilled
        "Pods were killed for using too much memory.",
        "Raise `resources.limits.memory` in `spec.agent` (or `spec.gateway`), or lower the memory \
        limiter's limits.";
    Unschedulable
        "Pods find no room on their nodes.",
        "Lower `resources.requests` in `spec.agent` (or `spec.gateway`), or give them a priority \
        class by `podTemplatePatch`.";
    Adopted
        "The reporting agents run the wanted configuration.",
        "";
    AdoptionInProgress
        "Agents are taking over a new configuration.",
        "Wait.";
    SomeAgentsStale
        "Some agents have run an older configuration for too long.",
        "Look at the agents that the message names.";
    Normal
        "Nothing out of the ordinary.",
        "";
    SoftLimitReached
        "Agents are above the soft limit: new traces are sampled by hash and a share of log and \
        metric requests is refused.",
        "Raise `spec.agent.resources.limits.memory`, or send less.";
    HardLimitReached
        "Agents are near the hard limit and refuse everything; clients send again.",
        "Raise `spec.agent.resources.limits.memory`, or send less.";
    UnknownPeers
        "Many senders have an address that belongs to no pod of the node.",
        "Let pods without hostNetwork send straight to the node's agent, past meshes and proxies.";
    CredentialsValid
        "The credentials are there and taken.",
        "";
    NotRequired
        "Nothing of the kind is needed.",
        "";
    Reachable
        "Agents can connect.",
        "";
    DNSFailed
        "The endpoint's name cannot be resolved.",
        "Correct the host in the endpoint, or create the Service.";
    ConnectionRefused
        "Nothing listens at the endpoint.",
        "Check that the destination runs, and the port in the endpoint.";
    Timeout
        "The endpoint does not answer in time.",
        "Check network policies and the destination's load; `spec.timeout` sets how long is \
        waited.";
    SomeNodesCannotReach
        "Agents on some nodes can connect, on others not.",
        "Check network policies and routes of the nodes that the message names.";
    NotProbed
        "Nobody has tried yet: no pipeline sends here.",
        "Name the destination in a pipeline.";
    Healthy
        "The certificate is valid.",
        "";
    UnknownAuthority
        "The certificate is signed by an authority that is not trusted.",
        "Put the authority's certificate into a Secret and name it in `spec.tls.caSecretRef`.";
    HostnameMismatch
        "The certificate is for another name.",
        "Use a name of the certificate in the endpoint, or set `spec.tls.serverName`.";
    CertificateExpired
        "The certificate is no longer valid.",
        "Renew the destination's certificate.";
    HandshakeFailed
        "The endpoint does not speak TLS, or not as asked.",
        "Set `spec.tls.mode` to Plaintext if the destination has no TLS.";
    Delivering
        "The destination takes what is sent.",
        "";
    AllRejected
        "The destination refuses everything for good.",
        "Read its answer in the message; check the endpoint's path and the tenant.";
    SomeRejected
        "The destination refuses a part for good.",
        "Read its answer in the message.";
    RateLimited
        "The destination asks to slow down.",
        "Raise its limits, or send less.";
    StorageFailed
        "The files cannot be written.",
        "Make room on the node's disk; the message says what failed.";
    QueueFull
        "The queue is full, so `delivery.onFull` acts.",
        "Look at the destination, or raise `delivery.queue.maxSize`.";
    Sufficient
        "Every trace was held until it was whole.",
        "";
    DecidedEarly
        "Traces were decided before their time, since no more may be open.",
        "Raise `spec.gateway.autoscaling.maxReplicas` or the gateway's memory, lower \
        `spec.tail.decisionWait`, or leave `spec.tail.maxTraces` at 0.";
    MemoryTooSmall
        "The open traces of one `decisionWait` need more memory than gateways have.",
        "Raise the gateway's memory or `spec.gateway.autoscaling.maxReplicas` of the Collector, or \
        lower `spec.tail.decisionWait`.";
    AllEffective
        "Every rule can do what it says.",
        "";
    RulesShadowed
        "A rule changes nothing, since another one always keeps as much.",
        "Remove the rule that the message names, or raise its `atLeastPercent`.";
    HeadCapsFloor
        "`spec.head` drops traces before a floor above it can keep them.",
        "Remove `spec.head`, or raise it to the floor that the message names.";
    ContradictoryRules
        "A keep and a limit rule with the same match ask for opposite things; the floor wins.",
        "Remove one of the two that the message names.";
    NeverMatched
        "A rule has not matched anything for a day.",
        "Check its match for spelling, with `sluice explain trace` on a trace that it should match.";
    WarmingUp
        "Too few calls were seen to tell which ones are slow or rare.",
        "Wait for `minSamples` calls, or one `window`.";
    AssumesUnsampledInput
        "Spans without `ot=th` are taken as unsampled.",
        "If senders sample without saying so, set `spec.traces.context.assumeUnsampled` of the \
        pipeline to false.";
    GuardDropped
        "Kept traces were lost in a full queue, so counts from the rest are too low.",
        "Look at the destinations, or raise `delivery.queue.maxSize`.";
    InputProbabilityUnknown
        "Spans come without `ot=th`, and may not be taken as unsampled.",
        "Let senders write their probability (OpenTelemetry's consistent samplers do), or set \
        `spec.traces.context.assumeUnsampled` of the pipeline to true.";
}
