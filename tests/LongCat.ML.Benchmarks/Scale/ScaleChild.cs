using System.Diagnostics;
using System.Text.Json;
using LongCat.ML.Checkpoints;
using LongCat.ML.Inference;
using LongCat.ML.Onnx;

namespace LongCat.ML.Benchmarks.Scale;

/// <summary>A measurement in a process of its own, whose memory is nobody else's. It prints one object of JSON.</summary>
internal static class ScaleChild
{
    public const string Verb = "scale-child";

    /// <summary>Starts this program again and reads what it prints.</summary>
    public static Dictionary<string, double> Start(params string[] arguments)
    {
        using Process process = Process.Start(new ProcessStartInfo("dotnet", [typeof(ScaleChild).Assembly.Location, Verb, .. arguments]) { RedirectStandardOutput = true })!;
        string printed = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return process.ExitCode == 0
            ? JsonSerializer.Deserialize<Dictionary<string, double>>(printed)!
            : throw new InvalidOperationException($"{string.Join(' ', arguments)} ended with exit code {process.ExitCode}");
    }

    public static int Run(string[] arguments)
    {
        Dictionary<string, double> figures = arguments switch
        {
            ["export", string checkpoint, string folder] => Export(checkpoint, folder),
            ["copy", string checkpoint, string folder] => Copy(checkpoint, folder),
            ["run", string folder, string tokens] => Decode(folder, int.Parse(tokens, System.Globalization.CultureInfo.InvariantCulture)),
            _ => throw new ArgumentException($"unknown measurement {string.Join(' ', arguments)}"),
        };
        Console.WriteLine(JsonSerializer.Serialize(figures));
        return 0;
    }

    private static Dictionary<string, double> Export(string checkpoint, string folder)
    {
        using PeakMemory peak = new();
        ExportResult result = OnnxExporter.Export(checkpoint, folder);
        return new() { ["seconds"] = result.Elapsed.TotalSeconds, ["bytes"] = result.DataBytes, ["private"] = peak.Bytes };
    }

    /// <summary>The system's own copy of all shards, flushed to the disk like the export.</summary>
    private static Dictionary<string, double> Copy(string checkpoint, string folder)
    {
        Directory.CreateDirectory(folder);
        long start = Stopwatch.GetTimestamp(), bytes = 0;
        foreach (string shard in Directory.EnumerateFiles(checkpoint, "*.safetensors"))
        {
            string copy = Path.Combine(folder, Path.GetFileName(shard));
            File.Copy(shard, copy);
            using FileStream flushed = new(copy, FileMode.Open, FileAccess.ReadWrite);
            flushed.Flush(flushToDisk: true);
            bytes += flushed.Length;
        }

        return new() { ["seconds"] = Stopwatch.GetElapsedTime(start).TotalSeconds, ["bytes"] = bytes };
    }

    /// <summary>Start, first token, and decoding of random tokens; what memory holds after each.</summary>
    private static Dictionary<string, double> Decode(string folder, int tokens)
    {
        string data = Path.Combine(folder, ModelManifest.DataFileName);
        LongcatFlashConfig config = (LongcatFlashConfig)ModelConfig.Load(folder);
        Dictionary<string, double> figures = new() { ["private before"] = ProcessMemory.Private() };
        long start = Stopwatch.GetTimestamp();
        using InferenceEngine engine = InferenceEngine.Load(folder, new EngineOptions { MemoryBudgetBytes = 64 << 20 });
        figures["start"] = Stopwatch.GetElapsedTime(start).TotalSeconds;
        figures["private loaded"] = ProcessMemory.Private();

        // ONNX Runtime maps each tensor by itself, and all tables differ in length. Later the system joins neighbours that are read alike.
        HashSet<long> lengths = [.. config.NGram!.TableRows.Select(rows => ((rows * config.NGram.TableWidth * 2) + 4095) / 4096 * 4096)];
        List<(long Offset, long Length)> tables = [.. ProcessMemory.Mappings(data).Where(mapping => lengths.Contains(mapping.Length)).Select(mapping => (mapping.Offset, mapping.Length))];
        figures["tables"] = tables.Sum(table => table.Length);
        figures["others"] = new FileInfo(data).Length - figures["tables"];
        Record("loaded");
        start = Stopwatch.GetTimestamp();
        GenerationRequest request = new() { PromptIds = [5], Options = new GenerationOptions { MaxNewTokens = 1, IgnoreEos = true } };
        int previous = engine.GenerateAsync(request).GetAwaiter().GetResult().Ids[0];
        figures["first token"] = Stopwatch.GetElapsedTime(start).TotalSeconds;
        Record("first");
        start = Stopwatch.GetTimestamp();
        GenerationResult result = engine.GenerateAsync(
            new GenerationRequest { PromptIds = [5, previous], Options = new GenerationOptions { MaxNewTokens = tokens, IgnoreEos = true, Temperature = 1, Seed = 7 } }).GetAwaiter().GetResult();
        figures["decode"] = tokens / Stopwatch.GetElapsedTime(start).TotalSeconds;
        figures["different"] = result.Ids.Distinct().Count();
        Record("decoded");
        figures["private decoded"] = ProcessMemory.Private();
        figures["dirty decoded"] = ProcessMemory.PrivateDirty();
        return figures;

        static bool Overlap((long Offset, long Length) table, (long Offset, long Length, long Resident) mapping) =>
            mapping.Offset < table.Offset + table.Length && table.Offset < mapping.Offset + mapping.Length;

        void Record(string when)
        {
            List<(long Offset, long Length, long Resident)> mappings = ProcessMemory.Mappings(data);
            foreach (IGrouping<string, (long Offset, long Length, long Resident)> kind in mappings.GroupBy(mapping => tables.Any(table => Overlap(table, mapping)) ? "tables" : "others"))
            {
                figures[$"{kind.Key} {when}"] = kind.Sum(mapping => mapping.Resident);
            }

            figures[$"tables cached {when}"] = PageCache.Resident(data, tables).Sum();
            figures[$"others cached {when}"] = PageCache.Resident(data, [(0, new FileInfo(data).Length)]).Sum() - figures[$"tables cached {when}"];
            figures[$"disk {when}"] = ProcessMemory.DiskReads();
        }
    }
}
