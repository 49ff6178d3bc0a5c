using LongCat.ML.Engines;
using LongCat.ML.Inference;
using LongCat.ML.Models;
using Microsoft.ML;
using Microsoft.ML.Runtime;

namespace LongCat.ML.Steps;

/// <summary>A step with the model it runs on: opens the model when the first row needs it and runs rows.</summary>
/// <remarks>Thread-safe. Holds no model: it borrows one from <see cref="EngineCache"/> for as long as rows run.</remarks>
internal sealed class StepSession
{
    private const string LogSource = "LongCat";
    private readonly MLContext? context;
    private readonly string? pipelineFolder;
    private readonly string key;

    /// <param name="step">The step.</param>
    /// <param name="model">What it runs on.</param>
    /// <param name="context">Where messages go and which GPU is meant; null inside a plainly loaded pipeline.</param>
    /// <param name="pipelineFolder">The folder of the pipeline's file, where known.</param>
    public StepSession(RowStep step, ModelReference model, MLContext? context, string? pipelineFolder)
    {
        Step = step;
        Model = model;
        this.context = context;
        this.pipelineFolder = pipelineFolder;
        key = model.Kind == ModelKind.Tokenizer ? $"{model.ContentHash} tokenizer" : $"{model.ContentHash} {step.Options.Engine} on {Device}{Adapters()}";
    }

    public RowStep Step { get; }

    public ModelReference Model { get; }

    private string Device => Step.Options.Engine.Device ?? (context?.GpuDeviceId is { } gpu ? $"cuda:{gpu}" : "cpu");

    /// <summary>Borrows the model, opening it if nobody has.</summary>
    /// <exception cref="ModelNotFoundException">It is in none of the places of <see cref="LongCatOptions.ModelSearchPath"/>.</exception>
    /// <exception cref="Checkpoints.CheckpointException">It is damaged.</exception>
    public Lease<IDisposable> Acquire() => EngineCache.Shared.Acquire(key, Open);

    /// <summary>Runs one row: empty rows do nothing, failing rows fail by name or become empty, as the options say.</summary>
    /// <param name="model">The borrowed model.</param>
    /// <param name="texts">The row's texts.</param>
    /// <param name="row">The row's position, -1 where unknown.</param>
    /// <param name="cancellationToken">Ends the row.</param>
    public async Task<RowResult> RunAsync(IDisposable model, RowTexts texts, long row, CancellationToken cancellationToken)
    {
        if (Step.IsEmpty(texts))
        {
            return Step.Empty;
        }

        try
        {
            return await Step.RunAsync(model, texts, cancellationToken).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            throw;
        }
        catch (Exception exception)
        {
            var failure = new RowFailedException(row, Step.First.Inputs[0].Name, exception);
            if (Step.Options.FailingRows == FailingRow.Fail)
            {
                throw failure;
            }

            Log(ChannelMessageKind.Warning, failure.Message);
            return Step.Failed;
        }
    }

    /// <summary>Borrows the model, runs one row and waits for it.</summary>
    public RowResult Run(RowTexts texts, long row)
    {
        if (Step.IsEmpty(texts))
        {
            return Step.Empty;
        }

        using Lease<IDisposable> lease = Acquire();
        return RunAsync(lease.Model, texts, row, CancellationToken.None).GetAwaiter().GetResult();
    }

    // Adapters are what they hold: where they lie makes no other engine.
    private string Adapters() => string.Concat(Model.Adapters.Select(adapter => $"\n{adapter.Name} {adapter.Adapter.ContentHash}"));

    private IDisposable Open()
    {
        string path = ModelLocator.Find(Model, pipelineFolder);
        EngineSettings settings = Step.Options.Engine with
        {
            Adapters = Model.Adapters.ToDictionary(adapter => adapter.Name, adapter => ModelLocator.Find(adapter.Adapter, pipelineFolder, adapter.Name)),
        };
        long started = Environment.TickCount64;
        IDisposable model = Open(path, settings);
        Log(ChannelMessageKind.Info, $"Opened the {Model.What} in '{path}' in {Environment.TickCount64 - started} ms.");
        if (model is ITextEngine { Warning: { } warning })
        {
            Log(ChannelMessageKind.Warning, $"The model in '{path}': {warning}");
        }

        return model;
    }

    private IDisposable Open(string path, EngineSettings settings)
    {
        if (Model.Kind == ModelKind.Tokenizer)
        {
            return EngineOpener.OpenTokenizer(path);
        }

        string device = Device;
        try
        {
            return EngineOpener.OpenEngine(path, settings, device);
        }
        catch (Exception exception) when (Step.Options.Engine.Device is null && device != "cpu" && context is { FallbackToCpu: true })
        {
            Log(ChannelMessageKind.Warning, $"The model in '{path}' runs on the CPU: {device}, which MLContext.GpuDeviceId asks for, failed: {exception.Message}");
            return EngineOpener.OpenEngine(path, settings, "cpu");
        }
        catch (InferenceException exception) when (Step.Options.Engine.Device is null && device != "cpu")
        {
            throw new InferenceException(
                $"The model in '{path}' was to run on {device}, which MLContext.GpuDeviceId asks for: {exception.Message} Leave GpuDeviceId unset, or set MLContext.FallbackToCpu.", exception);
        }
    }

    /// <summary>Says what a pass over the rows took.</summary>
    public void LogPass(long rows, TimeSpan elapsed) => Log(
        ChannelMessageKind.Info, FormattableString.Invariant($"{Step.Name} ran {rows} rows in {elapsed.TotalSeconds:F1} s."));

    private void Log(ChannelMessageKind kind, string message)
    {
        if (context is null)
        {
            return;
        }

        using IChannel channel = ((IChannelProvider)context).Start(LogSource);
        if (kind == ChannelMessageKind.Warning)
        {
            channel.Warning(MessageSensitivity.None, message);
        }
        else
        {
            channel.Info(MessageSensitivity.None, message);
        }
    }
}
