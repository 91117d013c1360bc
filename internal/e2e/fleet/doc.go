// Package fleet tests several servers that share a Redis: who computes, and what happens when a replica, the balancer or Redis
// fails. It contains only tests.
package fleet
