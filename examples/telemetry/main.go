// Telemetry shows a Mailer to OpenTelemetry: what its sessions do as metrics, and what
// becomes of each mail as a span with the steps of the dialogue. It prints both.
//
//	go run .
//
// in this folder, which is a module of its own, does so with a server of its own.
package main

import (
	"context"
	"crypto/tls"
	"io"
	"os"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/stdout/stdoutmetric"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/examples/internal/recipe"
)

func main() {
	recipe.Main(func(ctx context.Context, kit *recipe.Kit) error { return run(ctx, kit, os.Stdout) })
}

func run(ctx context.Context, kit *recipe.Kit, out io.Writer) error {
	spans, err := stdouttrace.New(stdouttrace.WithWriter(out))
	if err != nil {
		return err
	}
	tracing := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	numbers, err := stdoutmetric.New(stdoutmetric.WithWriter(out))
	if err != nil {
		return err
	}
	metering := sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewPeriodicReader(numbers)))
	// In your own program, all of the above is there already.

	kit.Mailer.Options.Trace = spanEvents()
	if err := observe(metering.Meter("mail"), kit.Mailer); err != nil {
		return err
	}
	sender := &traced{kit.Mailer, tracing.Tracer("mail")}
	_, err = sender.Send(ctx, &smtp.Message{
		From:    kit.From,
		To:      []smtp.Address{kit.To},
		Subject: "Quarterly figures",
		Text:    "They are good.",
	})
	if err != nil {
		return err
	}
	if err := metering.Shutdown(ctx); err != nil { // It exports what there is.
		return err
	}
	return tracing.Shutdown(ctx)
}

// traced is a Sender in whose spans the mails of another appear.
type traced struct {
	smtp.Sender
	tracer trace.Tracer
}

// Send implements smtp.Sender.
func (t *traced) Send(ctx context.Context, m *smtp.Message) (*smtp.Result, error) {
	ctx, span := t.tracer.Start(ctx, "send mail", trace.WithSpanKind(trace.SpanKindClient))
	defer span.End()
	result, err := t.Sender.Send(ctx, m)
	span.SetAttributes(attribute.String("mail.message_id", result.MessageID))
	for _, r := range result.Recipients {
		span.AddEvent("recipient", trace.WithAttributes(attribute.Stringer("outcome", r.Outcome)))
	}
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
	}
	return result, err
}

// spanEvents tells the span of each mail what happens on its way.
func spanEvents() *smtp.Trace {
	event := func(ctx context.Context, name string, err error, attributes ...attribute.KeyValue) {
		if err != nil {
			attributes = append(attributes, attribute.String("error", err.Error()))
		}
		trace.SpanFromContext(ctx).AddEvent(name, trace.WithAttributes(attributes...))
	}
	return &smtp.Trace{
		Connected: func(ctx context.Context, addr string, err error) {
			event(ctx, "connected", err, attribute.String("server.address", addr))
		},
		TLS: func(ctx context.Context, state tls.ConnectionState, err error) {
			event(ctx, "TLS", err, attribute.String("tls.version", tls.VersionName(state.Version)))
		},
		Authenticated: func(ctx context.Context, mechanism string, err error) {
			event(ctx, "authenticated", err, attribute.String("mechanism", mechanism))
		},
		Reply: func(ctx context.Context, op string, reply smtp.Reply) {
			event(ctx, "reply", nil, attribute.String("step", op), attribute.Int("code", reply.Code))
		},
	}
}

// observe makes metrics of the numbers of a Mailer.
func observe(meter metric.Meter, mailer *smtp.Mailer) error {
	sessions, err := meter.Int64ObservableGauge("mail.sessions", metric.WithDescription("open, of which some are idle"))
	if err != nil {
		return err
	}
	waiting, err := meter.Int64ObservableGauge("mail.waiting", metric.WithDescription("for a session"))
	if err != nil {
		return err
	}
	recipients, err := meter.Int64ObservableCounter("mail.recipients", metric.WithDescription("by their outcome"))
	if err != nil {
		return err
	}
	octets, err := meter.Int64ObservableCounter("mail.content", metric.WithUnit("By"))
	if err != nil {
		return err
	}
	_, err = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		stats := mailer.Stats()
		o.ObserveInt64(sessions, int64(stats.Open-stats.Idle), state("used"))
		o.ObserveInt64(sessions, int64(stats.Idle), state("idle"))
		o.ObserveInt64(waiting, int64(stats.Waiting))
		o.ObserveInt64(recipients, stats.Accepted, state("accepted"))
		o.ObserveInt64(recipients, stats.Refused, state("refused"))
		o.ObserveInt64(recipients, stats.Unknown, state("unknown"))
		o.ObserveInt64(recipients, stats.NotSent, state("not sent"))
		o.ObserveInt64(octets, stats.Bytes)
		return nil
	}, sessions, waiting, recipients, octets)
	return err
}

func state(name string) metric.MeasurementOption {
	return metric.WithAttributes(attribute.String("state", name))
}
