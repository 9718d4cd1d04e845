#include "experiments/sweep/index.h"

#include <hdf5.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <limits>
#include <set>

#include "data/atomic_file.h"
#include "data/error.h"
#include "data/hdf5_raii.h"
#include "experiments/store/result_file.h"

namespace fp4lab::sweep {
namespace {

const double kNan = std::numeric_limits<double>::quiet_NaN();

void write_text(const std::filesystem::path& path, const std::string& text) {
  AtomicFile file(path.string());
  file.write(text.data(), text.size());
  file.finish();
  file.publish();
}

std::string number_text(double value) {
  char buffer[40];
  return std::string(buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr);
}

std::string csv_cell(const std::string& text) {
  if (text.find_first_of(",\"\n") == std::string::npos) return text;
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + "\"";
}

/// All column names of the plan, in the order of its parts.
std::vector<std::string> varied_columns(const Plan& plan) {
  std::vector<std::string> names;
  for (const Part& part : plan.parts) {
    for (const std::string& name : part.columns) {
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
    }
  }
  return names;
}

/// Names of all figures, with units and meaning.
std::vector<Metric> all_metrics(const Index& index) {
  std::vector<Metric> names;
  for (const IndexRow& row : index.rows) {
    for (const Metric& m : row.metrics) {
      const bool known = std::any_of(names.begin(), names.end(),
                                     [&](const Metric& n) { return n.name == m.name; });
      if (!known) names.push_back(m);
    }
  }
  return names;
}

double metric_of(const IndexRow& row, const std::string& name) {
  for (const Metric& m : row.metrics) {
    if (m.name == name) return m.value;
  }
  return kNan;
}

/// A figure whose name is that of a varied key gets "final_" in front.
std::string column_name(const std::string& metric, const std::vector<std::string>& keys) {
  const bool taken = std::find(keys.begin(), keys.end(), metric) != keys.end() || metric == "run" ||
                     metric == "part" || metric == "status" || metric == "file" ||
                     metric == "title" || metric == "seed";
  return taken ? "final_" + metric : metric;
}

std::string status_text(const IndexRow& row) {
  return row.status.state == RunState::done ? row.status.outcome : state_name(row.status.state);
}

void summarize(const Plan& plan, Index& index) {
  std::vector<std::vector<double>> values;
  std::map<std::pair<std::size_t, std::map<std::string, Value>>, std::size_t> places;
  for (const IndexRow& row : index.rows) {
    std::map<std::string, Value> columns = row.run->columns;
    columns.erase("seed");
    const auto [place, is_new] = places.try_emplace({row.run->part, columns}, places.size());
    const std::size_t at = place->second;
    if (is_new) {
      index.summary.push_back({row.run->part, std::move(columns), 0, 0, 0, 0, 0});
      values.emplace_back();
    }
    SummaryRow& summary = index.summary[at];
    if (row.status.state != RunState::done) {
      ++summary.missing;
      continue;
    }
    ++summary.runs;
    summary.diverged += row.status.outcome == "diverged";
    const double v = metric_of(row, plan.parts[row.run->part].kind->headline());
    if (!std::isnan(v)) values[at].push_back(v);
  }
  for (std::size_t i = 0; i < index.summary.size(); ++i) {
    const std::vector<double>& v = values[i];
    SummaryRow& row = index.summary[i];
    row.mean = row.sd = kNan;
    if (v.empty()) continue;
    double sum = 0, square = 0;
    for (const double x : v) sum += x;
    row.mean = sum / static_cast<double>(v.size());
    for (const double x : v) square += (x - row.mean) * (x - row.mean);
    if (v.size() > 1) row.sd = std::sqrt(square / static_cast<double>(v.size() - 1));
  }
}

std::string summary_csv(const Plan& plan, const Index& index) {
  const std::vector<std::string> keys = varied_columns(plan);
  const std::vector<Metric> metrics = all_metrics(index);
  std::string text = "run,part,status";
  for (const std::string& key : keys) text += "," + csv_cell(key);
  for (const Metric& m : metrics) text += "," + csv_cell(column_name(m.name, keys));
  text += "\n";
  for (const IndexRow& row : index.rows) {
    text += row.run->id + "," + csv_cell(plan.parts[row.run->part].name) + "," + status_text(row);
    for (const std::string& key : keys) {
      const auto found = row.run->columns.find(key);
      text += "," + (found == row.run->columns.end() ? "" : csv_cell(cell_text(found->second)));
    }
    for (const Metric& m : metrics) {
      const double v = metric_of(row, m.name);
      text += "," + (std::isnan(v) ? "" : number_text(v));
    }
    text += "\n";
  }
  return text;
}

std::string summary_markdown(const Plan& plan, const Index& index) {
  std::string text = "# " + plan.title + "\n\n" + std::to_string(index.done) + " of " +
                     std::to_string(index.rows.size()) + " runs done";
  if (index.diverged != 0) text += ", " + std::to_string(index.diverged) + " of them diverged";
  if (index.failed != 0) text += ", " + std::to_string(index.failed) + " failed";
  text += ".\n";
  for (std::size_t p = 0; p < plan.parts.size(); ++p) {
    const Part& part = plan.parts[p];
    std::vector<std::string> keys;
    for (const std::string& key : part.columns) {
      if (key != "seed") keys.push_back(key);
    }
    text += "\n## " + part.name + "\n\n|";
    for (const std::string& key : keys) text += " " + key + " |";
    text += " " + part.kind->headline() + " | runs |\n|";
    for (std::size_t i = 0; i < keys.size(); ++i) text += "---|";
    text += "---|---|\n";
    for (const SummaryRow& row : index.summary) {
      if (row.part != p) continue;
      text += "|";
      for (const std::string& key : keys) {
        const auto found = row.columns.find(key);
        text += " " + (found == row.columns.end() ? "" : cell_text(found->second)) + " |";
      }
      text += " " + mean_text(row) + " | " + std::to_string(row.runs);
      if (row.diverged != 0) text += " (" + std::to_string(row.diverged) + " diverged)";
      if (row.missing != 0) text += " of " + std::to_string(row.runs + row.missing);
      text += " |\n";
    }
  }
  return text;
}

}  // namespace

std::string cell_text(const Value& value) {
  struct Printer {
    std::string operator()(bool v) const { return v ? "true" : "false"; }
    std::string operator()(std::int64_t v) const { return std::to_string(v); }
    std::string operator()(double v) const { return number_text(v); }
    std::string operator()(const std::string& v) const { return v; }
    std::string operator()(const std::vector<std::string>& v) const {
      std::string text;
      for (const std::string& item : v) text += (text.empty() ? "" : "+") + item;
      return text;
    }
  };
  return std::visit(Printer{}, value);
}

std::string mean_text(const SummaryRow& row) {
  if (std::isnan(row.mean)) return "-";
  char text[80];
  if (std::isnan(row.sd)) {
    std::snprintf(text, sizeof text, "%.4g", row.mean);
  } else {
    std::snprintf(text, sizeof text, "%.4f ± %.4f", row.mean, row.sd);
  }
  return text;
}

Index read_index(const Plan& plan, const SweepFolder& folder) {
  Index index;
  for (const PlannedRun& run : plan.runs) {
    IndexRow row;
    row.run = &run;
    std::string damage;
    std::error_code ignored;
    if (std::filesystem::is_regular_file(folder.result(run.id), ignored)) {
      try {
        const store::ResultFile file =
            store::ResultFile::read_some(folder.result(run.id).string(), run.kind->metric_paths());
        row.status.state = RunState::done;
        row.status.outcome = file.text_attribute("status");
        row.metrics = run.kind->metrics(file);
      } catch (const InputError& e) {
        damage = e.what();
      }
    }
    if (row.status.state != RunState::done) {
      row.status = unfinished_status(folder, run.id);
      if (row.status.state == RunState::missing) row.status.detail = damage;
    }
    switch (row.status.state) {
      case RunState::done:
        ++index.done;
        index.diverged += row.status.outcome == "diverged";
        break;
      case RunState::failed:
        ++index.failed;
        break;
      case RunState::running:
        ++index.running;
        break;
      case RunState::missing:
        ++index.missing;
        break;
    }
    index.rows.push_back(std::move(row));
  }
  summarize(plan, index);
  return index;
}

void write_index(const Plan& plan, const Index& index, const SweepFolder& folder) {
  store::ResultFile file;
  std::vector<std::string> ids, parts, status, files, titles;
  std::vector<std::int64_t> seeds;
  for (const IndexRow& row : index.rows) {
    ids.push_back(row.run->id);
    parts.push_back(plan.parts[row.run->part].name);
    status.push_back(status_text(row));
    files.push_back(row.status.state == RunState::done ? "runs/" + row.run->id + ".h5" : "");
    titles.push_back(row.run->title);
    seeds.push_back(static_cast<std::int64_t>(row.run->seed));
  }
  file.scale("/run", std::span<const std::string>(ids));
  const auto texts = [&](const std::string& name, const std::vector<std::string>& values,
                         const std::string& meaning) {
    file.put("/" + name, std::span<const std::string>(values));
    file.describe("/" + name, "", meaning);
  };
  texts("part", parts, "part of the sweep");
  texts("status", status, "complete, diverged, failed, running or missing");
  texts("file", files, "result file, relative to the sweep's folder");
  texts("title", titles, "what was run, without the seed");
  file.put("/seed", std::span<const std::int64_t>(seeds));
  file.describe("/seed", "1", "seed of the run");

  const std::vector<std::string> keys = varied_columns(plan);
  for (const std::string& key : keys) {
    if (key == "seed") continue;
    bool numeric = true, any = false;
    for (const IndexRow& row : index.rows) {
      const auto found = row.run->columns.find(key);
      if (found == row.run->columns.end()) continue;
      any = true;
      numeric = numeric && (std::holds_alternative<double>(found->second) ||
                            std::holds_alternative<std::int64_t>(found->second));
    }
    const std::string meaning = "configuration key " + key;
    if (numeric && any) {
      std::vector<double> values;
      for (const IndexRow& row : index.rows) {
        const auto found = row.run->columns.find(key);
        double v = kNan;
        if (found != row.run->columns.end()) {
          const auto* number = std::get_if<double>(&found->second);
          v = number != nullptr ? *number
                                : static_cast<double>(std::get<std::int64_t>(found->second));
        }
        values.push_back(v);
      }
      file.put("/" + key, std::span<const double>(values));
      file.describe("/" + key, "1", meaning);
    } else {
      std::vector<std::string> values;
      for (const IndexRow& row : index.rows) {
        const auto found = row.run->columns.find(key);
        values.push_back(found == row.run->columns.end() ? "" : cell_text(found->second));
      }
      texts(key, values, meaning);
    }
  }
  for (const Metric& metric : all_metrics(index)) {
    std::vector<double> values;
    for (const IndexRow& row : index.rows) values.push_back(metric_of(row, metric.name));
    const std::string path = "/" + column_name(metric.name, keys);
    file.put(path, std::span<const double>(values));
    file.describe(path, metric.units, metric.meaning);
  }
  file.attributes["kind"] = std::string("sweep");
  file.attributes["status"] =
      std::string(index.done == index.rows.size() ? "complete" : "incomplete");
  file.attributes["title"] = plan.title;
  file.attributes["name"] = plan.name;
  std::string varied, headlines;
  for (const std::string& key : keys) varied += (varied.empty() ? "" : " ") + key;
  for (const Part& part : plan.parts) {
    headlines += (headlines.empty() ? "" : " ") + part.name + ":" + part.kind->name() + ":" +
                 column_name(part.kind->headline(), keys) + ":" +
                 (part.kind->lower_is_better() ? "lower" : "higher");
  }
  file.attributes["varied"] = varied;        // names of the varied columns
  file.attributes["headlines"] = headlines;  // part:kind:column:direction
  file.write(folder.index().string());
  write_text(folder.root / "summary.csv", summary_csv(plan, index));
  write_text(folder.root / "summary.md", summary_markdown(plan, index));
}

void write_links(const Plan&, const Index& index, const SweepFolder& folder) {
  hdf5::silence();
  const std::string path = (folder.root / "links.h5").string();
  // Made in memory: HDF5 does not survive a full disk.
  const auto access =
      hdf5::require<hdf5::Properties, EnvironmentError>(H5Pcreate(H5P_FILE_ACCESS), path);
  hdf5::check<EnvironmentError>(H5Pset_fapl_core(access.get(), std::size_t{1} << 16, false), path);
  const auto file = hdf5::require<hdf5::File, EnvironmentError>(
      H5Fcreate("fp4lab-in-memory.h5", H5F_ACC_TRUNC, H5P_DEFAULT, access.get()), path);
  {
    const auto group = hdf5::require<hdf5::Group, EnvironmentError>(
        H5Gcreate2(file.get(), "/runs", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), path);
    for (const IndexRow& row : index.rows) {
      if (row.status.state != RunState::done) continue;
      hdf5::check<EnvironmentError>(
          H5Lcreate_external(("runs/" + row.run->id + ".h5").c_str(), "/", group.get(),
                             row.run->id.c_str(), H5P_DEFAULT, H5P_DEFAULT),
          path);
    }
  }
  hdf5::check<EnvironmentError>(H5Fflush(file.get(), H5F_SCOPE_GLOBAL), path);
  const ssize_t size = H5Fget_file_image(file.get(), nullptr, 0);
  if (size < 0) throw EnvironmentError(path + ": cannot finish (" + hdf5::last_message() + ")");
  std::string image(static_cast<std::size_t>(size), '\0');
  if (H5Fget_file_image(file.get(), image.data(), image.size()) != size) {
    throw EnvironmentError(path + ": cannot finish (" + hdf5::last_message() + ")");
  }
  write_text(path, image);
}

}  // namespace fp4lab::sweep
