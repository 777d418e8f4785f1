// Clients that write while a planned failover takes place: redigo, and imitations of Jedis's JedisSentinelPool and of
// Redisson on the wire. Built and run by measure.py.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gomodule/redigo/redis"
)

// An answer that takes longer was held back by the server.
const held = 5 * time.Millisecond

// What one thread of an application has seen; printed as JSON at the end.
type worker struct {
	List                        string
	Accepted, Unknown, Refused  []int
	Held, Old, Misled, DialErrs int
	PauseMs                     float64
	last                        time.Time
	next                        int
}

func (w *worker) ok(id int) {
	now := time.Now()
	if !w.last.IsZero() {
		if p := now.Sub(w.last).Seconds() * 1000; p > w.PauseMs {
			w.PauseMs = p
		}
	}
	w.last = now
	w.Accepted = append(w.Accepted, id)
}
func (w *worker) readonly(id int, took time.Duration, written bool) {
	w.Refused = append(w.Refused, id)
	if took > held {
		w.Held++
	} else if written {
		w.Old++
	} else {
		w.Misled++
	}
}

var sentinels []string
var stopped = make(chan struct{})

func over() bool {
	select {
	case <-stopped:
		return true
	default:
		return false
	}
}

func ask(turn int) (string, error) {
	for i := range sentinels {
		c, err := redis.Dial("tcp", sentinels[(turn+i)%len(sentinels)], redis.DialConnectTimeout(time.Second), redis.DialReadTimeout(time.Second))
		if err != nil {
			continue
		}
		a, err := redis.Strings(c.Do("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster"))
		c.Close()
		if err == nil && len(a) == 2 {
			return a[0] + ":" + a[1], nil
		}
	}
	return "", errors.New("no sentinel")
}

// A connection of a pool, and the address to which it leads.
type jconn struct {
	addr    string
	c       redis.Conn
	written bool
}

func main() {
	mode := os.Args[1]
	sentinels = strings.Split(os.Args[2], ",")
	n, _ := strconv.Atoi(os.Args[3])
	ms, _ := strconv.Atoi(os.Args[4])
	period := time.Duration(ms) * time.Millisecond
	workers := make([]*worker, n)
	for i := range workers {
		workers[i] = &worker{List: fmt.Sprintf("%s:%d:%d", mode, os.Getpid(), i)}
	}
	var run func(w *worker, i int)
	switch mode {
	case "redigo":
		run = redigo(n)
	case "jedis":
		run = jedis()
	case "redisson":
		run = redisson()
	}
	var wg sync.WaitGroup
	for i, w := range workers {
		wg.Add(1)
		go func(i int, w *worker) {
			defer wg.Done()
			for !over() {
				run(w, i)
				time.Sleep(period)
			}
		}(i, w)
	}
	fmt.Println("started")
	io.Copy(io.Discard, os.Stdin)
	close(stopped)
	wg.Wait()
	json.NewEncoder(os.Stdout).Encode(workers)
}

// A pool whose connections are asked for their role when they are borrowed, as the library's examples do it.
func redigo(n int) func(*worker, int) {
	var mu sync.Mutex
	turn := 0
	pool := &redis.Pool{MaxIdle: n, IdleTimeout: 240 * time.Second,
		Dial: func() (redis.Conn, error) {
			mu.Lock()
			turn++
			t := turn
			mu.Unlock()
			addr, err := ask(t)
			if err != nil {
				return nil, err
			}
			c, err := redis.Dial("tcp", addr, redis.DialReadTimeout(10*time.Second))
			return c, err
		},
		TestOnBorrow: func(c redis.Conn, t time.Time) error {
			role, err := redis.Values(c.Do("ROLE"))
			if err != nil {
				return err
			}
			if name, _ := redis.String(role[0], nil); name != "master" {
				return errors.New("role")
			}
			return nil
		}}
	return func(w *worker, i int) {
		c := pool.Get()
		defer c.Close()
		if c.Err() != nil {
			w.DialErrs++
			return
		}
		id := w.next
		w.next++
		begin := time.Now()
		_, err := c.Do("RPUSH", w.List, id)
		var re redis.Error
		switch {
		case err == nil:
			w.ok(id)
		case errors.As(err, &re):
			// The role was asked just before.
			w.readonly(id, time.Since(begin), true)
		default:
			w.Unknown = append(w.Unknown, id)
		}
	}
}

func listen(on func(string)) {
	for _, s := range sentinels {
		go func(s string) {
			for !over() {
				c, err := redis.Dial("tcp", s)
				if err != nil {
					time.Sleep(100 * time.Millisecond)
					continue
				}
				p := redis.PubSubConn{Conn: c}
				p.Subscribe("+switch-master")
				for {
					m := p.Receive()
					if _, bad := m.(error); bad {
						break
					}
					if msg, is := m.(redis.Message); is {
						f := strings.Fields(string(msg.Data))
						on(f[3] + ":" + f[4])
					}
				}
				c.Close()
			}
		}(s)
	}
}

// A pool with one address for all, which +switch-master changes. READONLY does not spoil a connection.
func jedis() func(*worker, int) {
	var mu sync.Mutex
	var idle []*jconn
	addr, err := ask(0)
	if err != nil {
		panic(err)
	}
	listen(func(a string) {
		mu.Lock()
		defer mu.Unlock()
		if a != addr {
			addr = a
			for _, c := range idle {
				c.c.Close()
			}
			idle = nil
		}
	})
	borrow := func() (*jconn, error) {
		for {
			mu.Lock()
			var c *jconn
			if k := len(idle); k > 0 {
				c = idle[k-1]
				idle = idle[:k-1]
			}
			now := addr
			mu.Unlock()
			if c == nil {
				d, err := redis.Dial("tcp", now, redis.DialConnectTimeout(2*time.Second), redis.DialReadTimeout(10*time.Second))
				if err != nil {
					return nil, err
				}
				c = &jconn{addr: now, c: d}
			}
			mu.Lock()
			same := c.addr == addr
			mu.Unlock()
			if same {
				return c, nil
			}
			c.c.Close()
		}
	}
	return func(w *worker, i int) {
		c, err := borrow()
		if err != nil {
			w.DialErrs++
			return
		}
		id := w.next
		w.next++
		begin := time.Now()
		_, err = c.c.Do("RPUSH", w.List, id)
		var re redis.Error
		switch {
		case err == nil:
			w.ok(id)
			c.written = true
		case errors.As(err, &re):
			w.readonly(id, time.Since(begin), c.written)
		default:
			w.Unknown = append(w.Unknown, id)
			c.c.Close()
			return
		}
		mu.Lock()
		idle = append(idle, c)
		mu.Unlock()
	}
}

// One connection for all, pipelined.
type shared struct {
	addr    string
	conn    net.Conn
	mu      sync.Mutex
	waiting []chan string
	written bool
	dead    bool
}

func dial(addr string) (*shared, error) {
	conn, err := net.DialTimeout("tcp", addr, 2*time.Second)
	if err != nil {
		return nil, err
	}
	s := &shared{addr: addr, conn: conn}
	go func() {
		r := bufio.NewReader(conn)
		for {
			line, err := r.ReadString('\n')
			s.mu.Lock()
			if err != nil {
				s.dead = true
				s.waiting = nil // Nobody is told: each waits out its time.
				s.mu.Unlock()
				conn.Close()
				return
			}
			if len(s.waiting) > 0 {
				s.waiting[0] <- line
				s.waiting = s.waiting[1:]
			}
			s.mu.Unlock()
		}
	}()
	return s, nil
}

func (s *shared) send(list string, id int) (chan string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead {
		return nil, false
	}
	text := strconv.Itoa(id)
	ch := make(chan string, 1)
	cmd := fmt.Sprintf("*3\r\n$5\r\nRPUSH\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", len(list), list, len(text), text)
	if _, err := s.conn.Write([]byte(cmd)); err != nil {
		return nil, false
	}
	s.waiting = append(s.waiting, ch)
	return ch, true
}

// All threads share one connection. A command whose connection was cut waits out its timeout; READONLY makes the next
// one ask a sentinel.
func redisson() func(*worker, int) {
	var mu sync.Mutex
	var cur *shared
	turn := 0
	get := func(fresh bool) *shared {
		mu.Lock()
		defer mu.Unlock()
		if cur != nil {
			cur.mu.Lock()
			dead := cur.dead
			cur.mu.Unlock()
			if !dead && !fresh {
				return cur
			}
		}
		turn++
		addr, err := ask(turn)
		if err != nil {
			return nil
		}
		if cur != nil && !cur.dead && cur.addr == addr {
			return cur
		}
		s, err := dial(addr)
		if err != nil {
			return nil
		}
		cur = s
		return s
	}
	listen(func(a string) { get(true) })
	fresh := false
	var fm sync.Mutex
	return func(w *worker, i int) {
		fm.Lock()
		f := fresh
		fresh = false
		fm.Unlock()
		s := get(f)
		if s == nil {
			w.DialErrs++
			return
		}
		id := w.next
		w.next++
		begin := time.Now()
		ch, sent := s.send(w.List, id)
		if !sent {
			w.DialErrs++
			return
		}
		select {
		case line := <-ch:
			if line[0] == ':' {
				w.ok(id)
				s.written = true
			} else {
				w.readonly(id, time.Since(begin), s.written)
				fm.Lock()
				fresh = true
				fm.Unlock()
			}
		case <-time.After(3 * time.Second):
			w.Unknown = append(w.Unknown, id)
		}
	}
}
