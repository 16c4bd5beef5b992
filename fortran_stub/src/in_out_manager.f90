!> Run control and text output: namrun, the units, and who writes.
module in_out_manager
   use, intrinsic :: iso_fortran_env, only: error_unit
   implicit none
   private

   integer, parameter, public :: lc = 256            !< length of names and paths
   integer, parameter, public :: numerr = error_unit

   logical, public :: lwp = .false.                  !< this rank writes ocean.output
   integer, public :: narea = 1                      !< number of this rank, from 1
   integer, public :: numout = -1                    !< unit of ocean.output

   ! namrun
   character(len=lc), public :: cn_exp = 'GYRE'
   integer, public :: nn_it000 = 1
   integer, public :: nn_itend = 10
   integer, public :: nn_date0 = 10101
   integer, public :: nn_leapy = 30
   logical, public :: ln_rstart = .false.
   integer, public :: nn_rstctl = 2
   character(len=lc), public :: cn_ocerst_in = 'restart.nc'
   integer, public :: nn_stock = 0
   integer, public :: nn_write = 0
   integer, public :: nn_stat = 10
   logical, public :: ln_cpl = .false.
end module in_out_manager
