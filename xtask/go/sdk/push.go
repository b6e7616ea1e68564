package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// As wire/src/forward.rs has it.
const pushPath = "/sluice.forward.v1.Forward/Push"

const pushTimeMax = 20 * time.Second

type pushes struct {
	gateways  []string
	tokens    []token
	namespace string
}

type token struct{ name, file string }

func (own *pushes) addGateway(text string) error {
	own.gateways = append(own.gateways, text)
	return nil
}

func (own *pushes) addToken(text string) error {
	name, file, found := strings.Cut(text, "=")
	if !found {
		return fmt.Errorf("%q is not name=file", text)
	}
	own.tokens = append(own.tokens, token{name, file})
	return nil
}

// The answer's gRPC code by gateway and name of the token.
func (own pushes) run(ctx context.Context) (map[string]map[string]string, error) {
	answers := map[string]map[string]string{}
	for _, gateway := range own.gateways {
		answers[gateway] = map[string]string{}
		// The certificate names no address, and whoever wants in without a token does not look at it.
		unchecked := credentials.NewTLS(&tls.Config{InsecureSkipVerify: true})
		connection, err := grpc.NewClient("passthrough:///"+gateway, grpc.WithTransportCredentials(unchecked))
		if err != nil {
			return answers, fmt.Errorf("%s: %w", gateway, err)
		}
		defer connection.Close()
		for _, token := range own.tokens {
			answer, err := own.push(ctx, connection, token)
			if err != nil {
				return answers, fmt.Errorf("%s: %w", token.name, err)
			}
			answers[gateway][token.name] = answer
		}
	}
	return answers, nil
}

func (own pushes) push(ctx context.Context, connection *grpc.ClientConn, token token) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, pushTimeMax)
	defer cancel()
	if token.file != "" {
		bearer, err := os.ReadFile(token.file)
		if err != nil {
			return "", err
		}
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+strings.TrimSpace(string(bearer)))
	}
	forward, err := own.forward(token.name)
	if err != nil {
		return "", err
	}
	var answer []byte
	err = connection.Invoke(ctx, pushPath, &forward, &answer, grpc.ForceCodec(bytesCodec{}))
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s with %s: %v\n", connection.Target(), token.name, err)
	}
	return status.Code(err).String(), nil
}

// One frame of one trace that every policy about errors keeps; its span says which token it came with.
func (own pushes) forward(name string) ([]byte, error) {
	pod := map[string]any{
		"namespace": own.namespace, "name": "forged", "uid": "forged", "node": "forged",
		"workload": nil, "containers": []string{}, "labels": map[string]string{},
	}
	sender, err := json.Marshal(map[string]any{"Pod": pod})
	if err != nil {
		return nil, err
	}
	now := uint64(time.Now().UnixNano())
	said := &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: name}}
	span := &tracepb.Span{
		TraceId: random(16), SpanId: random(8), Name: "push", Kind: tracepb.Span_SPAN_KIND_SERVER,
		StartTimeUnixNano: now, EndTimeUnixNano: now + 1,
		Status:     &tracepb.Status{Code: tracepb.Status_STATUS_CODE_ERROR},
		Attributes: []*common.KeyValue{{Key: "e2e.token", Value: said}},
	}
	spans := []*tracepb.ScopeSpans{{Spans: []*tracepb.Span{span}}}
	body, err := proto.Marshal(&collector.ExportTraceServiceRequest{
		ResourceSpans: []*tracepb.ResourceSpans{{ScopeSpans: spans}},
	})
	if err != nil {
		return nil, err
	}
	frame := field(nil, 1, sender)
	frame = field(frame, 2, body)
	frame = protowire.AppendVarint(protowire.AppendTag(frame, 3, protowire.VarintType), 1)
	frame = append(protowire.AppendTag(frame, 4, protowire.Fixed64Type), random(8)...)
	return field(nil, 1, frame), nil
}

func field(out []byte, number protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(out, number, protowire.BytesType), value)
}

func random(length int) []byte {
	id := make([]byte, length)
	// Never fails: crypto/rand ends the program instead.
	_, _ = rand.Read(id)
	return id
}

// Messages are written and read by hand.
type bytesCodec struct{}

func (bytesCodec) Marshal(value any) ([]byte, error) { return *value.(*[]byte), nil }

func (bytesCodec) Unmarshal(data []byte, value any) error {
	*value.(*[]byte) = data
	return nil
}

func (bytesCodec) Name() string { return "proto" }
