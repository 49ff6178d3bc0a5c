using System.Diagnostics;
using System.Text.Json.Nodes;
using LongCat.ML.TestShared;

namespace LongCat.ML.ToolTests;

/// <summary><c>longcat quantize</c>, <c>longcat export --precision w4a8</c> and <c>longcat inspect</c> of what they write: as a user runs them, bad input and Ctrl-C included.</summary>
public sealed class QuantizeVerbTests : IDisposable
{
    private static readonly string s_nano = Path.Combine(Repository.Root, "samples", "models", "longcat-nano");
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_quantized_folder_is_whole_says_how_it_was_made_and_scores_rows()
    {
        string checkpoint = RandomCheckpoint.Write(_folder["checkpoint"], new RandomCheckpointOptions { Tokenizer = true });
        string rows = _folder["rows.jsonl"];
        File.WriteAllLines(rows, [.. Enumerable.Range(0, 12).Select(i => $"{{\"body\":\"calibration text {i}\"}}"), "{\"body\":", "{\"body\":\"calibration text 3\"}"]);
        string[] recipe = ["--recipe", "longcat", "--calibration", rows, "--column", "body", "--samples", "8", "--sample-tokens", "10", "--compensate", "true", "--seed", "3"];
        ToolProcess quantized = ToolProcess.LongCat(["quantize", checkpoint, "--output", _folder["onnx"], .. recipe]);
        Assert.True(quantized.ExitCode == 0, quantized.Error);
        Assert.Contains("recipe LongCat, groups of 128, calibrated on 80 tokens of 8 rows (14 read, 8 cut, 1 duplicates, 1 unusable)", quantized.Output, StringComparison.Ordinal);
        Assert.StartsWith($"note: 1 of 14 calibration rows were passed over; the first: {rows}, line 13: the line is no JSON", quantized.Error, StringComparison.Ordinal);
        Assert.All(["model.onnx", "model.onnx.data", "longcat.json", "quantization.json", "quantization.svg", "tokenizer.json"], name => Assert.True(File.Exists(_folder[$"onnx/{name}"]), name));

        // The other verb has the same options and makes the same folder.
        ToolProcess exported = ToolProcess.LongCat(["export", checkpoint, "--output", _folder["export"], "--precision", "w4a8", .. recipe]);
        Assert.True(exported.ExitCode == 0, exported.Error);
        Assert.Equal(File.ReadAllText(_folder["onnx/longcat.json"]), File.ReadAllText(_folder["export/longcat.json"]));

        ToolProcess inspected = ToolProcess.LongCat("inspect", _folder["onnx"]);
        Assert.True(inspected.ExitCode == 0, inspected.Error);
        Assert.All(
            ["exported as w4a8", "recipe LongCat, groups of 128, scales TwoLevel, activations Dynamic, clipping Grid, errors compensated", "80 tokens", "compensated"],
            expected => Assert.Contains(expected, inspected.Output, StringComparison.Ordinal));
        Assert.Equal(2, ToolProcess.LongCat("inspect", _folder["onnx"], "--check-finite").ExitCode);

        File.WriteAllText(_folder["texts.jsonl"], "{\"text\":\"hello\"}\n{\"text\":\"a longer text\"}\n");
        ToolProcess scored = ToolProcess.LongCat("score", _folder["onnx"], "--input", _folder["texts.jsonl"], "--output", _folder["scored.jsonl"], "--mode", "score");
        Assert.True(scored.ExitCode == 0, scored.Error);
        Assert.All(File.ReadAllLines(_folder["scored.jsonl"]), line => Assert.True((double)JsonNode.Parse(line)!["log_likelihood"]! < 0, line));

        // Nothing is left beside the folders, and what is an export already is refused.
        Assert.Equal(["checkpoint", "export", "onnx"], Directory.EnumerateDirectories(_folder.Path).Select(Path.GetFileName).Order(StringComparer.Ordinal));
        Failed(1, "it is an export already", ToolProcess.LongCat("quantize", _folder["onnx"], "--output", _folder["again"]));
    }

    [Fact]
    public void Wrong_usage_and_bad_calibration_files_are_one_line_each_and_leave_nothing()
    {
        string checkpoint = RandomDecoder.Write(_folder["checkpoint"], new RandomDecoderOptions { Tokenizer = true });
        string[] quantize = ["quantize", checkpoint, "--output", _folder["onnx"]];
        Failed(2, "--group-size is 100, expected a multiple of 32 from 32 to 256, or 0", ToolProcess.LongCat([.. quantize, "--group-size", "100"]));
        Failed(2, "GroupSize is 0, expected a multiple of 32", ToolProcess.LongCat([.. quantize, "--group-size", "0", "--scales", "two-level"]));
        Failed(2, "give either --calibration or --data-free", ToolProcess.LongCat([.. quantize, "--data-free", "--calibration", "rows.jsonl"]));
        Failed(2, "--column names a field of --calibration", ToolProcess.LongCat([.. quantize, "--column", "text"]));
        Failed(2, "'best'", ToolProcess.LongCat([.. quantize, "--recipe", "best"]));
        Failed(2, "--clip goes with --precision w4a8", ToolProcess.LongCat("export", checkpoint, "--output", _folder["onnx"], "--clip", "grid"));
        Failed(2, "--ops standard", ToolProcess.LongCat("export", checkpoint, "--output", _folder["onnx"], "--precision", "w4a8", "--ops", "standard"));
        Failed(1, "nowhere.jsonl does not exist", ToolProcess.LongCat([.. quantize, "--calibration", _folder["nowhere.jsonl"]]));

        string rows = _folder["rows.jsonl"];
        File.WriteAllText(rows, "{\"body\":\"text\"}\n");
        Failed(1, "there is no field 'text'; its fields are: 'body'", ToolProcess.LongCat([.. quantize, "--calibration", rows]));
        File.WriteAllText(rows, "text,label\nhello,1\n");
        Failed(1, "none of 2 rows can be used to calibrate", ToolProcess.LongCat([.. quantize, "--calibration", rows]));
        Assert.Equal(["checkpoint", "rows.jsonl"], Directory.EnumerateFileSystemEntries(_folder.Path).Select(Path.GetFileName).Order(StringComparer.Ordinal));
    }

    [Theory]
    [InlineData("longcat")]
    [InlineData("rtn")]
    public void A_disk_that_is_full_is_one_error_and_leaves_nothing(string recipe)
    {
        if (!OperatingSystem.IsLinux())
        {
            return;
        }

        // No file may grow beyond 6 MB: the float graph of a calibration and the quantized weights both would. The runtime's own double mapping is a file to the limit as well.
        string tool = Path.Combine(AppContext.BaseDirectory, "longcat.dll");
        string command = $"trap '' XFSZ; ulimit -f 6000; exec dotnet '{tool}' quantize '{s_nano}' --output '{_folder["onnx"]}' --recipe {recipe} --samples 2 --sample-tokens 8 --no-draft";
        ProcessStartInfo start = new("bash", ["-c", command]) { RedirectStandardOutput = true, RedirectStandardError = true };
        start.Environment["DOTNET_EnableWriteXorExecute"] = "0";
        using Process process = Process.Start(start)!;
        string error = process.StandardError.ReadToEnd();
        Assert.True(process.WaitForExit(TimeSpan.FromMinutes(2)));
        Failed(1, "model.onnx.data", new ToolProcess(process.ExitCode, process.StandardOutput.ReadToEnd(), error));
        Assert.Empty(Directory.EnumerateFileSystemEntries(_folder.Path));
    }

    [InterruptFact]
    public async Task Ctrl_C_in_a_calibration_ends_with_130_and_leaves_nothing()
    {
        // More rows than the test waits for.
        ProcessStartInfo start = InterruptFactAttribute.Interruptible(
            "dotnet", Path.Combine(AppContext.BaseDirectory, "longcat.dll"), "quantize", s_nano, "--output", _folder["onnx"], "--data-free", "--samples", "20000", "--no-draft");
        (start.RedirectStandardOutput, start.RedirectStandardError) = (true, true);
        using Process process = Process.Start(start)!;
        Task<string> error = process.StandardError.ReadToEndAsync();
        for (int wait = 0; wait < 6000 && !Calibrating(); wait++)
        {
            Assert.False(process.HasExited);
            await Task.Delay(10);
        }

        using (Process kill = Process.Start("kill", ["-INT", process.Id.ToString(System.Globalization.CultureInfo.InvariantCulture)]))
        {
            await kill.WaitForExitAsync();
        }

        await process.WaitForExitAsync().WaitAsync(TimeSpan.FromMinutes(1));
        Assert.Equal(130, process.ExitCode);
        Assert.Contains("error: stopped", await error, StringComparison.Ordinal);
        Assert.Empty(Directory.EnumerateFileSystemEntries(_folder.Path));

        bool Calibrating() => Directory.EnumerateDirectories(_folder.Path, ".onnx.calibration-*").Any(folder => Directory.Exists(Path.Combine(folder, "probe")));
    }

    private static void Failed(int code, string expected, ToolProcess run)
    {
        Assert.True(run.ExitCode == code, $"{run.ExitCode}: {run.Error}");
        string line = Assert.Single(run.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries));
        Assert.StartsWith("error: ", line, StringComparison.Ordinal);
        Assert.Contains(expected, line, StringComparison.Ordinal);
    }
}
