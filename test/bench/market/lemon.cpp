// Peer of the market benchmark: the clearing as a minimum-cost circulation, solved by LEMON's NetworkSimplex.
// Input: a file of doubles: buses, orders, then per bus (parent, up, down, tariff), per order (bus, supply, price, energy);
// up or down < 0 = no limit. Output: CPU milliseconds of run() and the welfare.

#include <lemon/network_simplex.h>
#include <lemon/smart_graph.h>

#include <cstdio>
#include <ctime>
#include <vector>

using Graph = lemon::SmartDigraph;
using Simplex = lemon::NetworkSimplex<Graph, long long, long long>;

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  FILE *file = std::fopen(argv[1], "rb");
  if (!file) return 2;
  std::fseek(file, 0, SEEK_END);
  std::vector<double> data(std::ftell(file) / sizeof(double));
  std::rewind(file);
  if (std::fread(data.data(), sizeof(double), data.size(), file) != data.size()) return 2;
  std::fclose(file);

  const long buses = static_cast<long>(data[0]);
  const long orders = static_cast<long>(data[1]);
  const double *bus = &data[2];
  const double *order = bus + 4 * buses;
  Graph graph;
  graph.reserveNode(buses + 1);
  graph.reserveArc(2 * buses + orders);
  for (long i = 0; i <= buses; i++) graph.addNode();
  const Graph::Node outside = graph.nodeFromId(buses);
  Graph::ArcMap<long long> capacity(graph);
  Graph::ArcMap<long long> cost(graph);
  const auto arc = [&](Graph::Node from, Graph::Node to, double limit, double price) {
    const Graph::Arc added = graph.addArc(from, to);
    capacity[added] = limit < 0 ? std::numeric_limits<long long>::max() : static_cast<long long>(limit);
    cost[added] = static_cast<long long>(price);
  };
  for (long i = 0; i < buses; i++) {
    if (bus[4 * i] < 0) continue;
    const Graph::Node lower = graph.nodeFromId(i);
    const Graph::Node upper = graph.nodeFromId(static_cast<int>(bus[4 * i]));
    arc(lower, upper, bus[4 * i + 1], bus[4 * i + 3]);
    arc(upper, lower, bus[4 * i + 2], bus[4 * i + 3]);
  }
  for (long i = 0; i < orders; i++) {
    const double *row = order + 4 * i;
    const Graph::Node at = graph.nodeFromId(static_cast<int>(row[0]));
    if (row[1] > 0) arc(outside, at, row[3], row[2]);
    else arc(at, outside, row[3], -row[2]);
  }

  Simplex simplex(graph);
  simplex.upperMap(capacity).costMap(cost);
  const std::clock_t start = std::clock();
  const Simplex::ProblemType status = simplex.run();
  const std::clock_t end = std::clock();
  if (status != Simplex::OPTIMAL) return 3;
  const double ms = 1000.0 * static_cast<double>(end - start) / CLOCKS_PER_SEC;
  std::printf("{\"cpuMs\":%.3f,\"welfareUc\":\"%lld\"}\n", ms, -simplex.totalCost<long long>());
  return 0;
}
