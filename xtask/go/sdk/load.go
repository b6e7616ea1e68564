package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// How long the last spans may take to leave.
const exportTimeMax = 60 * time.Second

type load struct {
	endpoint     string
	first        int
	traces       int
	seed         uint64
	perSecond    float64
	services     []string
	operations   int
	every        [kinds]int
	batchTimeout time.Duration
}

// What was sent, for whoever checks what arrived.
type sent struct {
	Traces map[string]int `json:"traces"`
	Spans  int64          `json:"spans"`
	// Requests, by all exporters.
	Requests int64 `json:"requests"`
}

// A service of the chain: its own provider, as if it were a process of its own.
type service struct {
	name     string
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
	exporter *exporter
}

// An exporter that counts.
type exporter struct {
	sdktrace.SpanExporter
	spans, requests, failures atomic.Int64
}

func (own *exporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := own.SpanExporter.ExportSpans(ctx, spans)
	if err != nil {
		own.failures.Add(1)
	} else {
		own.spans.Add(int64(len(spans)))
		own.requests.Add(1)
	}
	return err
}

func (load load) run(ctx context.Context) (sent, error) {
	sent := sent{Traces: map[string]int{}}
	var chain []service
	for _, name := range load.services {
		service, err := load.service(ctx, name)
		if err != nil {
			return sent, fmt.Errorf("cannot set up the SDK: %w", err)
		}
		chain = append(chain, service)
		// Processes do not start at once, so their batches do not leave at once.
		time.Sleep(load.batchTimeout / time.Duration(len(load.services)))
	}
	started := time.Now()
	for made := range load.traces {
		due := time.Duration(float64(made) / load.perSecond * float64(time.Second))
		time.Sleep(time.Until(started.Add(due)))
		plan := load.plan(load.first + made)
		plan.begin(ctx, chain)
		sent.Traces[plan.kind.String()]++
	}
	return sent, sent.finish(ctx, chain)
}

func (load load) service(ctx context.Context, name string) (service, error) {
	otlp, err := otlptracegrpc.New(ctx, otlptracegrpc.WithEndpoint(load.endpoint), otlptracegrpc.WithInsecure())
	if err != nil {
		return service{}, err
	}
	own := &exporter{SpanExporter: otlp}
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.AlwaysSample())),
		sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.name", name))),
		sdktrace.WithIDGenerator(ids{load.seed}),
		// Blocking: what the SDK itself would drop is not what is looked for.
		sdktrace.WithBatcher(own, sdktrace.WithBatchTimeout(load.batchTimeout), sdktrace.WithBlocking()),
	)
	return service{name, provider, provider.Tracer("sluice.dev/xtask/sdk"), own}, nil
}

// Waits until all spans have left.
func (sent *sent) finish(ctx context.Context, chain []service) error {
	ctx, cancel := context.WithTimeout(ctx, exportTimeMax)
	defer cancel()
	var made, failures int64
	for _, traces := range sent.Traces {
		made += int64(traces * len(chain) * spansPerService)
	}
	for _, service := range chain {
		if err := service.provider.Shutdown(ctx); err != nil {
			return fmt.Errorf("%s: cannot send the last spans: %w", service.name, err)
		}
		sent.Spans += service.exporter.spans.Load()
		sent.Requests += service.exporter.requests.Load()
		failures += service.exporter.failures.Load()
	}
	if failures > 0 || sent.Spans != made {
		return fmt.Errorf("%d exports failed; %d of %d spans were accepted", failures, sent.Spans, made)
	}
	return nil
}
