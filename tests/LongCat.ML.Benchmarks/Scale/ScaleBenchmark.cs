using System.Globalization;
using LongCat.ML.Checkpoints;
using LongCat.ML.TestShared;

namespace LongCat.ML.Benchmarks.Scale;

/// <summary>
/// What a checkpoint that is large for the machine costs: export beside the system's own copy, private memory, start, and the pages that decoding touches.
/// </summary>
internal static class ScaleBenchmark
{
    public const string Usage = """
        usage: ./run bench scale [--gigabytes 8] [--turns 3] [--keep]

          generates a LongCat-Flash-Lite-shaped checkpoint below artifacts/scale, exports and copies it in turns, then runs the export; needs
          three times its size of free disk. --keep leaves checkpoint and export for the next run, which with --turns 0 runs that export only.
        """;

    private const int Tokens = 64;

    public static int Run(string[] arguments)
    {
        CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;
        double gigabytes = Number(arguments, "--gigabytes", 8, least: 0.2);
        int turns = (int)Number(arguments, "--turns", 3, least: 0);
        string root = Path.Combine(BenchmarkModels.Root, "artifacts", "scale"), checkpoint = Path.Combine(root, $"checkpoint-{gigabytes}");
        string exported = Path.Combine(root, "onnx"), copied = Path.Combine(root, "copy");
        try
        {
            if (!File.Exists(Path.Combine(checkpoint, "model.safetensors.index.json")))
            {
                double generating = Series.Seconds(() => ScaleCheckpoint.Write(checkpoint, gigabytes, shards: 4));
                Console.Error.WriteLine($"generated in {generating:F1} s");
            }

            OtherLoad others = new();
            long largest = Describe(checkpoint);
            if (turns > 0 || !Directory.Exists(exported))
            {
                Turns(checkpoint, exported, copied, Math.Max(turns, 1), largest);
            }

            PageCache.DropFolder(exported);
            Decoding(exported, "cold (the export is not in the page cache)");
            Decoding(exported, "warm");
            Console.WriteLine($"other processes took {others.Cores():F2} of {Environment.ProcessorCount} cores on average");
            return 0;
        }
        finally
        {
            Delete(copied);
            if (!arguments.Contains("--keep"))
            {
                Delete(checkpoint, exported);
            }
        }
    }

    /// <returns>Bytes of the largest tensor of the export: experts are stacked there.</returns>
    private static long Describe(string checkpoint)
    {
        using Checkpoint opened = Checkpoint.Open(checkpoint);
        LongcatFlashConfig config = (LongcatFlashConfig)opened.Config;
        long all = opened.Tensors.Values.Sum(tensor => tensor.ByteLength);
        long tables = Enumerable.Range(0, config.NGram!.TableCount).Sum(i => opened.Entry(config.NGram.TableName(i)).ByteLength);
        long largest = Math.Max(opened.Tensors.Values.Max(tensor => tensor.ByteLength), 2L * config.NumRoutedExperts * config.ExpertFfnHiddenSize * config.HiddenSize);
        Console.WriteLine(
            $"checkpoint: {all / 1e9:F2} GB in {opened.Files.Count} files, {tables / 1e9:F2} GB of it in {config.NGram.TableCount} n-gram tables; largest tensor of the export {largest / 1e6:F0} MB");
        return largest;
    }

    /// <summary>Export and copy by turns: whatever else the disk does meets both. Each reads the checkpoint from the disk and ends when its bytes are on it.</summary>
    private static void Turns(string checkpoint, string exported, string copied, int turns, long largest)
    {
        List<double> ratios = [];
        for (int turn = 1; turn <= turns; turn++)
        {
            Delete(exported, copied);
            PageCache.DropFolder(checkpoint);
            Dictionary<string, double> export = ScaleChild.Start("export", checkpoint, exported);
            PageCache.DropFolder(exported);
            PageCache.DropFolder(checkpoint);
            Dictionary<string, double> copy = ScaleChild.Start("copy", checkpoint, copied);
            ratios.Add(export["seconds"] / copy["seconds"]);
            Console.WriteLine(
                $"turn {turn}: export {export["seconds"]:F1} s ({export["bytes"] / 1e6 / export["seconds"]:F0} MB/s), copy {copy["seconds"]:F1} s ({copy["bytes"] / 1e6 / copy["seconds"]:F0} MB/s), "
                + $"{ratios[^1]:F2} times the copy; private memory at most {export["private"] / 1e6:F0} MB (limit {(1e9 + (2 * largest)) / 1e6:F0} MB)");
        }

        ratios.Sort();
        Console.WriteLine($"export: {ratios[ratios.Count / 2]:F2} times the copy (median of {ratios.Count} turns, {ratios[0]:F2} to {ratios[^1]:F2})");
    }

    private static void Decoding(string folder, string cache)
    {
        Dictionary<string, double> run = ScaleChild.Start("run", folder, Tokens.ToString(CultureInfo.InvariantCulture));
        LongcatFlashConfig config = (LongcatFlashConfig)ModelConfig.Load(folder);

        // A row lies in one page or two. The first tokens have short n-grams; all of them are counted as full.
        int rows = (Tokens + 2) * config.NGram!.TableCount;
        Console.WriteLine(
            $"{cache}: start {run["start"]:F2} s, first token {run["first token"]:F2} s, then {run["decode"]:F1} tokens/s over {Tokens} tokens ({run["different"]:F0} different)");
        Console.WriteLine(
            $"  private memory: {run["private before"] / 1e6:F0} MB before, {run["private loaded"] / 1e6:F0} MB loaded, {run["private decoded"] / 1e6:F0} MB at the end (private dirty {run["dirty decoded"] / 1e6:F0} MB); "
            + $"the export has {(run["tables"] + run["others"]) / 1e6:F0} MB");
        foreach ((string kind, string name) in new[] { ("tables", "tables"), ("others", "other weights") })
        {
            Console.WriteLine(
                $"  {name}, {run[kind] / 1e6:F0} MB: in the page cache {run[$"{kind} cached loaded"] / 1e6:F1} MB when loaded, {run[$"{kind} cached first"] / 1e6:F1} MB after a token, "
                + $"{run[$"{kind} cached decoded"] / 1e6:F1} MB at the end; of which mapped into the process {run[$"{kind} loaded"] / 1e6:F1}, {run[$"{kind} first"] / 1e6:F1} and {run[$"{kind} decoded"] / 1e6:F1} MB");
        }

        Console.WriteLine($"  needed of the tables: {rows} rows, {rows * 4096 / 1e6:F1} MB if each lies in a page of its own");
        Console.WriteLine($"  needed of the other weights by one token: about {TokenBytes(config) / 1e6:F0} MB (every matrix once, of the experts those that are chosen if all are chosen equally often)");
        Console.WriteLine(
            $"  read from the disk, read-ahead included: {run["disk loaded"] / 1e6:F0} MB when loaded, {run["disk first"] / 1e6:F0} MB after a token, {run["disk decoded"] / 1e6:F0} MB at the end");
    }

    private static double TokenBytes(LongcatFlashConfig config)
    {
        double chosen = (double)config.MoeTopK / (config.NumRoutedExperts + config.NumZeroExperts);
        return config.ExpectedTensors(withMtp: false).Sum(tensor => tensor.Group switch
        {
            TensorGroup.Experts => 2 * chosen * tensor.ElementCount,
            _ when tensor.Name.Contains("embed", StringComparison.Ordinal) && !tensor.Name.Contains("proj", StringComparison.Ordinal) => 0,
            _ => (tensor.Shape.Count == 1 || tensor.Group == TensorGroup.Router ? 4.0 : 2.0) * tensor.ElementCount,
        });
    }

    private static double Number(string[] arguments, string name, double otherwise, double least)
    {
        int index = Array.IndexOf(arguments, name);
        return index < 0 ? otherwise
            : index + 1 < arguments.Length && double.TryParse(arguments[index + 1], CultureInfo.InvariantCulture, out double value) && value >= least ? value
            : throw new ArgumentException($"{name} expects a number of at least {least}");
    }

    private static void Delete(params string[] folders)
    {
        foreach (string folder in folders.Where(Directory.Exists))
        {
            Directory.Delete(folder, recursive: true);
        }
    }
}
