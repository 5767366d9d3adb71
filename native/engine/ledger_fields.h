/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file The ledger's counters: the one list of them.
 *
 * F(line, name, role, stage, unit, meaning)
 *   line   the cache-line group, after the thread that writes it
 *   role   wire, received, filtered, delivered, drop (its name is the cause) or info
 *   stage  where it happens: nic, kernel (or whatever else hands packets to the engine), engine;
 *          empty for info
 */
#ifndef CAPSTAN_LEDGER_FIELDS_H
#define CAPSTAN_LEDGER_FIELDS_H

/* clang-format off */
#define CAP_LEDGER_WORKER(F) \
F(worker, wire_packets,     "wire",     "kernel", "packets", "offered to this queue, by the source's own counter; DPDK: taken from the ring, and at the end what the port's ipackets has beyond all queues' (queue 0); DAG: taken from the stream, and what the card says it lost") \
F(worker, received_packets, "received", "engine", "packets", "taken out of the ring by the worker") \
F(worker, received_bytes,   "info",     "",       "bytes",   "wire length of the packets taken out of the ring") \
F(worker, filtered_kernel,  "filtered", "kernel", "packets", "rejected by the filter inside the kernel, or no target's") \
F(worker, filtered_engine,  "filtered", "engine", "packets", "rejected by the filter inside the engine, or no target's") \
F(worker, kernel_dropped,   "drop",     "kernel", "packets", "no ring or frame memory left in the kernel: the engine was too slow") \
F(worker, ring_full,        "drop",     "kernel", "packets", "the receive ring was full: the engine was too slow") \
F(worker, unbound,          "drop",     "kernel", "packets", "arrived on a queue that no socket is bound to") \
F(worker, other_link,       "drop",     "kernel", "packets", "of another kind of link than the port's (DAG, ERF files: a record type that is not Ethernet)") \
F(worker, invalid,          "drop",     "kernel", "packets", "came as records that contradict themselves (DAG), or under such headers (PF_RING)") \
F(worker, port_removed,     "drop",     "kernel", "packets", "taken by the kernel and gone with an interface that was removed") \
F(worker, no_block,         "drop",     "engine", "packets", "no free block: the disk was slower than the packets") \
F(worker, cut_packets,      "info",     "",       "packets", "stored shorter than they were, by the snap length") \
F(worker, short_packets,    "info",     "",       "packets", "arrived shorter than the snap length asks: cut by the ring's block size") \
F(worker, target_packets,   "info",     "",       "packets", "of at least one target: 0 where no targets are set") \
F(worker, target_unsure,    "info",     "",       "packets", "of these, kept because something that a target names could not be seen: a later fragment's ports without its first, what a cut frame lacks, or too many targets to be judged") \
F(worker, target_more,      "info",     "",       "packets", "of these, of more targets than are told in a packet's comments, or maybe") \
F(worker, freezes,          "info",     "",       "times",   "the kernel stopped a full ring") \
F(worker, fill_empty,       "info",     "",       "times",   "the kernel found no free frame; attempts, not packets") \
F(worker, untimed,          "info",     "",       "packets", "have the time of their burst: the NIC's driver has no room for a time stamp") \
F(worker, kernel_unjudged,  "info",     "",       "packets", "taken up because the kernel could not tell whether they are a target's; the engine did") \
F(worker, time_error_ns,    "info",     "",       "ns",      "the most by which a packet's time may be wrong, where that is known") \
F(worker, bursts,           "info",     "",       "times",   "bursts that were not empty") \
F(worker, sleeps,           "info",     "",       "times",   "the worker slept because its ring was empty") \
F(worker, blocks_sealed,    "info",     "",       "blocks",  "blocks handed to the writer") \
F(worker, last_packet_ns,   "info",     "",       "ns",      "time stamp of the newest packet")

#define CAP_LEDGER_WRITER(F) \
F(writer, delivered_packets, "delivered", "engine", "packets", "in a file, or given to the null sink") \
F(writer, delivered_bytes,   "info",      "",       "bytes",   "wire length of the packets delivered") \
F(writer, sink_full,         "drop",      "engine", "packets", "no space left: full disk, quota or the free-space floor") \
F(writer, sink_error,        "drop",      "engine", "packets", "the disk refused the write with an error") \
F(writer, written_bytes,     "info",      "",       "bytes",   "written to files, headers included") \
F(writer, files_opened,      "info",      "",       "files",   "begun") \
F(writer, files_whole,       "info",      "",       "files",   "finished and renamed") \
F(writer, files_removed,     "info",      "",       "files",   "oldest whole files removed to keep space free") \
F(writer, removed_bytes,     "info",      "",       "bytes",   "size of the files removed to keep space free") \
F(writer, unsynced_packets,  "info",      "",       "packets", "delivered to a file that the disk did not confirm; it stays hidden") \
F(writer, stream_copies,     "info",      "",       "packets", "in files of targets: a packet of two targets twice") \
F(writer, partly_written,    "info",      "",       "packets", "dropped, although files of some of their targets have them") \
F(writer, files_early,       "info",      "",       "files",   "ended before their time, because more targets had packets than files may be open") \
F(writer, write_errors,      "info",      "",       "times",   "a write or open failed")

#define CAP_LEDGER_MONITOR(F) \
F(monitor, nic_lost,          "wire", "nic", "packets", "dropped by the NIC before a ring held them: nic_missed + nic_no_buffer + nic_errors") \
F(monitor, nic_missed,        "drop", "nic", "packets", "rx_missed_errors (DPDK: imissed) since arm (the port's queue 0)") \
F(monitor, nic_no_buffer,     "drop", "nic", "packets", "rx_fifo_errors (DPDK: rx_nombuf) since arm (the port's queue 0)") \
F(monitor, nic_errors,        "drop", "nic", "packets", "damaged on the wire or refused by the NIC (DPDK: ierrors) since arm (the port's queue 0)") \
F(monitor, nic_rx_packets,    "info", "",    "packets", "the interface's own rx_packets (DPDK: ipackets) now (the port's queue 0)") \
F(monitor, nic_rx_at_arm,     "info", "",    "packets", "the same when counting began, modulo 2^64 (a port opened again: less what it had counted)") \
F(monitor, nic_rx_arm_spread, "info", "",    "packets", "how many arrived while counting began: the error of nic_rx_at_arm") \
F(monitor, nic_life,          "info", "",    "flag",    "1: nic_rx_packets goes on while no engine runs; 2: it ends with the engine, and what arrives after a crash is counted by nobody; 0: there is no device (the port's queue 0)") \
F(monitor, link_up,           "info", "",    "flag",    "1 while the link carries") \
F(monitor, link_changes,      "info", "",    "times",   "the link went up, down or away") \
F(monitor, reopens,           "info", "",    "times",   "the port came back and was opened again")
/* clang-format on */

#endif
