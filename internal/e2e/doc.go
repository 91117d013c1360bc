// Package e2e tests the binary as users meet it: started as a process, asked over HTTP by the official clients, stopped
// by signals. It holds nothing but tests.
package e2e
