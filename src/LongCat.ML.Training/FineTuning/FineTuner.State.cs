using System.Globalization;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using LongCat.ML.Checkpoints;
using LongCat.ML.Training.Data;

namespace LongCat.ML.Training.FineTuning;

/// <content>The state on disk: <c>state.safetensors</c> (weights, both moments, the best weights, the history) and <c>state.json</c> (the position and what it belongs to).</content>
public sealed partial class FineTuner
{
    private const int FormatVersion = 1;
    private const string TensorFile = "state.safetensors", PositionFile = "state.json", History = "history";
    private static readonly JsonSerializerOptions s_json = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        WriteIndented = true,
        NumberHandling = System.Text.Json.Serialization.JsonNumberHandling.AllowNamedFloatingPointLiterals,
    };

    private string? _settings;

    /// <summary>What a state belongs to: the settings that decide the weights, the trained parameters, and the examples.</summary>
    private string Settings => _settings ??= DescribeSettings();

    private void Write(string folder)
    {
        List<TensorDeclaration> declarations = [.. _masters.Parameters.Select(p => new TensorDeclaration($"weight.{p.Name}", TensorType.Float32, p.Value.shape))];
        _optimizer.VisitMoments((name, shape, _) => declarations.Add(new TensorDeclaration(name, TensorType.Float32, shape)));
        if (_best is not null)
        {
            declarations.AddRange(_masters.Parameters.Select(p => new TensorDeclaration($"best.{p.Name}", TensorType.Float32, p.Value.shape)));
        }

        double[] history = [.. _history.SelectMany(point => point.ToArray())];
        declarations.Add(new TensorDeclaration(History, TensorType.Float64, [_history.Count, HistoryPoint.Fields]));
        using (var writer = SafetensorsWriter.Create(Path.Combine(folder, TensorFile), declarations))
        {
            for (int i = 0; i < _masters.Parameters.Count; i++)
            {
                var (name, value) = _masters.Parameters[i];
                writer.Write($"weight.{name}", (ReadOnlySpan<float>)MasterWeights.Values(value));
                if (_best is not null)
                {
                    writer.Write($"best.{name}", (ReadOnlySpan<float>)_best[i]);
                }
            }

            _optimizer.VisitMoments((name, _, values) => writer.Write(name, values.Span));
            writer.Write(History, MemoryMarshal.AsBytes<double>(history));
            writer.Complete();
        }

        var position = new FineTuningPosition(
            FormatVersion, Steps, _optimizer.Steps, Tokens, TrainableTokens, Elapsed.TotalSeconds, _stream.Epoch, _stream.Row,
            _bestStep, _bestLoss, _best is not null, _initialLoss, _withoutProgress, _stoppedEarly, Settings);
        File.WriteAllText(Path.Combine(folder, PositionFile), JsonSerializer.Serialize(position, s_json));
    }

    private void Read(string folder)
    {
        string file = Path.Combine(folder, PositionFile);
        FineTuningPosition position;
        try
        {
            position = JsonSerializer.Deserialize<FineTuningPosition>(File.ReadAllText(file), s_json)
                ?? throw new CheckpointException(file, "holds null, expected the position of a fine-tuning");
        }
        catch (Exception e) when (e is JsonException or IOException)
        {
            throw new CheckpointException(file, $"cannot be read: {e.Message}", e);
        }

        if (position.FormatVersion != FormatVersion)
        {
            throw new CheckpointException(file, $"has format {position.FormatVersion}, expected {FormatVersion}: begin anew");
        }

        if (position.Settings != Settings)
        {
            throw new CheckpointException(file, $"belongs to another run: {FirstDifference(position.Settings, Settings)}; resume with the settings and rows the run began with, or begin anew with another state folder");
        }

        using var tensors = SafetensorsFile.Open(Path.Combine(folder, TensorFile));
        for (int i = 0; i < _masters.Parameters.Count; i++)
        {
            var (name, value) = _masters.Parameters[i];
            Fill($"weight.{name}", MasterWeights.Values(value));
        }

        _optimizer.Restore(position.OptimizerSteps, (name, values) => Fill(name, values));
        if (position.HasBest)
        {
            _best = _masters.Copy();
            for (int i = 0; i < _best.Length; i++)
            {
                Fill($"best.{_masters.Parameters[i].Name}", _best[i]);
            }
        }

        var entry = tensors.Entry(History);
        if (entry.Type != TensorType.Float64 || entry.Shape is not [_, HistoryPoint.Fields])
        {
            throw new CheckpointException(tensors.Path, History, $"is {entry.Type} [{string.Join(", ", entry.Shape)}], expected Float64 [n, {HistoryPoint.Fields}]");
        }

        var history = MemoryMarshal.Cast<byte, double>(tensors.GetBytes(History));
        _history.Clear();
        for (int i = 0; i < history.Length; i += HistoryPoint.Fields)
        {
            _history.Add(HistoryPoint.From(history.Slice(i, HistoryPoint.Fields)));
        }

        (Steps, Tokens, TrainableTokens) = (position.Step, position.Tokens, position.TrainableTokens);
        (_bestStep, _bestLoss, _initialLoss) = (position.BestStep, position.BestLoss, position.InitialLoss);
        (_withoutProgress, _stoppedEarly) = (position.WithoutProgress, position.StoppedEarly);
        _before = TimeSpan.FromSeconds(position.Seconds);
        _watch.Reset();
        _stream = new PackedStream(_documents, Options.Columns, Options.Seed, position.Epoch, position.Row);
        _masters.Refresh();
        _weights.StepTo(Steps, TotalSteps);

        void Fill(string name, Span<float> values)
        {
            var stored = tensors.Entry(name);
            if (stored.ElementCount != values.Length)
            {
                throw new CheckpointException(tensors.Path, name, $"has {stored.ElementCount} values, expected {values.Length}: begin anew");
            }

            tensors.ReadFloat32(name, 0, values);
        }
    }

    private string DescribeSettings()
    {
        var lines = new StringBuilder();
        Add("steps", TotalSteps);
        Add("batch rows", Options.BatchRows);
        Add("columns", Options.Columns);
        Add("accumulation steps", Options.AccumulationSteps);
        Add("learning rate", Options.LearningRate);
        Add("LoRA+ ratio", Options.LoraPlusRatio);
        Add("schedule", Options.Schedule);
        Add("warm-up steps", _schedule.WarmupSteps);
        Add("weight decay", Options.WeightDecay);
        Add("optimizer", Options.Optimizer);
        Add("evaluate every", Options.EvaluateEvery);
        Add("patience", Options.Patience);
        Add("keep best", Options.KeepBest);
        Add("base weights", Options.Base);
        Add("device", Options.Device);
        Add("seed", Options.Seed);
        Add("trained", _weights.Description);
        if (Model.Config.Streaming is { } streaming)
        {
            Add("streaming", $"{streaming.SinkBlocks} + {streaming.LocalBlocks} blocks of {streaming.BlockSize} in attentions {string.Join(", ", streaming.AttentionLayers)}");
        }

        Add("parameters", Hash(hash =>
        {
            foreach (var (name, value) in _masters.Parameters)
            {
                hash.AppendData(Encoding.UTF8.GetBytes($"{name}[{string.Join(",", value.shape)}]\n"));
            }
        }));
        Add("model", Hash(hash =>
        {
            foreach (var (name, value) in Model.state_dict())
            {
                hash.AppendData(Encoding.UTF8.GetBytes($"{name}[{string.Join(",", value.shape)}]\n"));
            }
        }));
        Add("training examples", Hash(hash =>
        {
            foreach (var example in _examples)
            {
                hash.AppendData(MemoryMarshal.AsBytes<int>(example.Ids));
                hash.AppendData(MemoryMarshal.AsBytes<bool>(example.Trainable));
            }
        }));
        Add("validation examples", _validation is null ? "none" : $"{_validation.Count} rows of {_validation.TokenCount} tokens");
        return lines.ToString();

        void Add(string name, object value) => lines.Append(string.Create(CultureInfo.InvariantCulture, $"{name}: {value}\n"));

        static string Hash(Action<IncrementalHash> fill)
        {
            using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
            fill(hash);
            return Convert.ToHexStringLower(hash.GetHashAndReset())[..16];
        }
    }

    private static string FirstDifference(string saved, string current)
    {
        string[] before = (saved ?? "").Split('\n'), now = current.Split('\n');
        int i = 0;
        while (i < before.Length && i < now.Length && before[i] == now[i])
        {
            i++;
        }

        return $"'{(i < before.Length ? before[i] : "")}' in the state, '{(i < now.Length ? now[i] : "")}' now";
    }
}
