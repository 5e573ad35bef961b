package smtp

import "github.com/xdg-go/scram"

// Race and Interleave are how a host with several addresses is reached.
var (
	Race       = race
	Interleave = interleave
)

// SCRAMWithNonce is SCRAM with the nonce of an example, in an RFC or a test.
func SCRAMWithNonce(name, user, password, nonce string) Mechanism {
	hash := map[string]scram.HashGeneratorFcn{"SCRAM-SHA-1": scram.SHA1, "SCRAM-SHA-1-PLUS": scram.SHA1, "SCRAM-SHA-256": scram.SHA256}[name]
	return newSCRAM(name, hash, user, password, func() string { return nonce })
}
