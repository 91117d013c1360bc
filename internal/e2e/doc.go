// Package e2e tests the binary as users run it: as a process that receives HTTP requests from the official clients and stops on
// signals. It contains only tests.
package e2e
