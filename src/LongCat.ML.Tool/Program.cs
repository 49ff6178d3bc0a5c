using System.CommandLine;
using LongCat.ML.CommandLine;
using LongCat.ML.Tool.Commands;

RootCommand root = new("LongCat.ML: from a Hugging Face folder to scored rows.")
{
    InspectCommand.Create(),
    ExportCommand.Create(),
    QuantizeCommand.Create(),
    MergeCommand.Create(),
    MergeAdaptersCommand.Create(),
    AdapterCommand.Create(),
    LogitsCommand.Create(),
    GenerateCommand.Create(),
    ScoreCommand.Create(),
    MergePartsCommand.Create(),
    CalibrateSparseCommand.Create(),
};
return await CommandHost.RunAsync(root, args);
