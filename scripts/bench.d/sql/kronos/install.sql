create extension kronos cascade;
select kronos.start();
select count(*) from kronos.create_endpoint('noop', 'HTTP');
